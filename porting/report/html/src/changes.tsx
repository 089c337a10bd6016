/* What changed since before: in short for the front page, and whole on a page of its own. */
import { Folded, Mark, NotFound, spoken } from "./parts";
import { cellHref, filterHref } from "./place";
import { type Change, changes, kinds, told } from "./story";
import { bytes, counted, integer, percent, seconds, t, version, when } from "./text";

const SHOWN = 40; // of a kind, before the rest is folded
const MISSING = { outcome: "missing", evidence: null };

export function ChangesPage() {
  if (!told) return <NotFound />;
  const moved = Object.entries(told.moved);
  return <>
    <h1>{t("changes.title")}</h1>
    <Lead />
    {moved.length ? (
      <section><h2>{t("changes.moved")}</h2><ul class="versions">{moved.map(([name, [from, to]]) => (
        <li><span class="id">{name}</span> {version(from)} → <b>{version(to)}</b></li>
      ))}</ul></section>
    ) : null}
    {kinds.map((one) => <Kind {...one} />)}
  </>;
}

/** Since when, and what is new. */
function Lead() {
  const { since, known, new: fresh } = told!;
  if (!known) return <p class="lead">{t("changes.first")}</p>;
  const text = t(changes.length ? "changes.since" : "changes.none", { when: when(since), n: integer(known) });
  return <p class="lead">{text} {fresh ? counted("changes.new", fresh) : null}</p>;
}

function Kind({ kind, members }: { kind: string; members: Change[] }) {
  const label = counted("changes.show", members.length);
  return (
    <section>
      <h2>{t(`change.${kind}`)} <a class="count-link" href={filterHref(`changed:${kind}`)} aria-label={label}>{integer(members.length)}</a></h2>
      <p class="meta">{t(`change.${kind}.means`)}</p>
      <Folded items={members} limit={SHOWN} list={(some) => <Rows changes={some} />} more={(count) => t("changes.more", { n: integer(count) })} />
    </section>
  );
}

const Rows = ({ changes: some }: { changes: Change[] }) => <ul class="changes">{some.map((change) => <Row change={change} />)}</ul>;

/** What it was, what it is, where, and for a number from what to what. */
function Row({ change }: { change: Change }) {
  const { cell, was } = change;
  const said = `${was ? spoken(was) : t("outcome.missing")} → ${spoken(cell)}`;
  const why = detail(change);
  return (
    <li>
      <span class="turn" role="img" aria-label={said} title={said}><Mark cell={was ?? MISSING} /><span aria-hidden="true">→</span><Mark cell={cell} /></span>
      <div>
        <a class="id" href={cellHref(cell)}>{cell.model.id}</a> <span class="meta">{t("on")}</span> <span class="id">{cell.target.id}</span>
        {why ? <p class="meta">{why}</p> : null}
      </div>
    </li>
  );
}

const FORMATS: Record<string, (value: number) => string> = { drift: percent, slower: seconds, faster: seconds, "more-memory": bytes, "less-memory": bytes };

function detail({ kind, before, after, cell }: Change): string {
  const format = FORMATS[kind];
  if (format && before !== null && after !== null) return `${format(before)} → ${format(after)}`;
  return cell.outcome !== "pass" && cell.reason ? cell.reason.message : "";
}

/** A line for every kind, and the first cells of what broke. */
export function ChangesInShort() {
  if (!told) return null;
  if (!kinds.length) return <div class="panel quiet"><h2>{t("changes.title")}</h2><Lead /></div>;
  const broken = kinds.find(({ kind }) => kind === "broken");
  return (
    <section class="panel"><h2>{t("changes.title")}</h2><Lead />
      <ul class="tallies">{kinds.map(({ kind, members }) => (
        <li><a class="count" href={filterHref(`changed:${kind}`)} aria-label={`${t(`change.${kind}`)}: ${counted("cells", members.length)}`}>
          {integer(members.length)}</a> {t(`change.${kind}`)}</li>
      ))}</ul>
      {broken ? <Rows changes={broken.members.slice(0, 3)} /> : null}
      <p><a href="#/changes">{t("changes.all")}</a></p>
    </section>
  );
}
