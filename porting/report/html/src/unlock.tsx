/* What to mend first: the remedies that would turn most cells to passes. */
import { Folded, NotFound } from "./parts";
import { cellHref } from "./place";
import { type Remedy, remedies, told } from "./story";
import { counted, integer, t } from "./text";

const SHOWN = 50;

export function UnlockPage() {
  if (!told) return <NotFound />;
  const most = Math.max(...remedies.map(({ blocks }) => blocks));
  const list = (some: Remedy[]) => <Table remedies={some} most={most} />;
  return <>
    <h1>{t("unlock.title")}</h1><p class="lead">{t("unlock.lead")}</p>
    {remedies.length ? <Folded items={remedies} limit={SHOWN} list={list} more={(count) => t("unlock.more", { n: integer(count) })} /> : <p>{t("unlock.none")}</p>}
  </>;
}

function Table({ remedies: some, most }: { remedies: Remedy[]; most: number }) {
  return (
    <table class="list unlock">
      <thead><tr>
        <th scope="col">{t("unlock.what")}</th><th scope="col">{t("unlock.blocks")}</th>
        <th scope="col" class="numeric">{t("unlock.models")}</th><th scope="col" class="numeric">{t("unlock.targets")}</th>
        <th scope="col">{t("unlock.rests")}</th><th scope="col">{t("unlock.smallest")}</th>
      </tr></thead>
      <tbody>{some.map((one) => <Row one={one} most={most} />)}</tbody>
    </table>
  );
}

function Row({ one, most }: { one: Remedy; most: number }) {
  const { turns, blocks, models, targets, smallest } = one;
  return (
    <tr>
      <th scope="row"><Name one={one} /></th>
      <td class="amount">
        <div class="track" aria-hidden="true"><div class="fill all" style={{ width: `${(100 * blocks) / most}%` }} />
          <div class="fill" style={{ width: `${(100 * turns) / most}%` }} /></div>
        <span>{t("unlock.amount", { turns: integer(turns), blocks: integer(blocks) })}</span>
      </td>
      <td class="numeric">{integer(models)} <span class="unit">{t("unlock.models")}</span></td>
      <td class="numeric">{integer(targets)} <span class="unit">{t("unlock.targets")}</span></td>
      <td class="rests">{rests(one)}</td>
      <td><a class="id" href={cellHref(smallest)}>{smallest.model.id}</a> <span class="meta">{t("on")} {smallest.target.id}</span>{one.case ? <><br /><code>{one.case}</code></> : null}</td>
    </tr>
  );
}

/** Blocked cells by what their records rest on, never as one sum. */
function rests({ evidence, blocks }: Remedy): string {
  const counts = Object.entries(evidence);
  const none = blocks - counts.reduce((sum, [, count]) => sum + count, 0);
  const words = counts.map(([kind, count]) => `${integer(count)} ${t(`evidence.${kind}`)}`);
  return [...words, ...(none ? [t("unlock.untried", { n: integer(none) })] : [])].join(" · ");
}

/** What it is, and whose. */
function Name({ one: { kind, name, where } }: { one: Remedy }) {
  return <><span class="meta">{t(`blocker.${kind.replaceAll(" ", "-")}`)}{where ? ` · ${where}` : null}</span><span class="what">{name}</span></>;
}

/** The first few. */
export function UnlockInShort() {
  if (!remedies.length) return null;
  const item = (one: Remedy) => {
    const values = { cells: rests(one), models: counted("models", one.models), targets: counted("targets", one.targets) };
    return <li><span class="count">{integer(one.turns)}</span><div><Name one={one} /><p class="meta">{t("unlock.blocked", values)}</p></div></li>;
  };
  return (
    <section class="panel"><h2>{t("unlock.title")}</h2><p class="lead">{t("unlock.brief")}</p>
      <ol class="reasons single">{remedies.slice(0, 5).map(item)}</ol><p><a href="#/unlock">{t("unlock.all")}</a></p></section>
  );
}
