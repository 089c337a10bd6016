/* Pieces that several pages show: the mark of a cell, legend, stacked bar, reasons, facts. */
import type { ComponentChildren } from "preact";
import { type Cell, type Marked, type Model, type Stopped, type Tally, type Target, data, tally } from "./cells";
import { filterHref, href } from "./place";
import { term } from "./query";
import { counted, integer, t } from "./text";

const GLYPHS: Record<string, string> = {
  pass: "✓",
  degraded: "◐",
  mismatch: "≠",
  fail: "✗",
  unsupported: "⊘",
  unavailable: "–",
  invalid: "?",
  skipped: "↷",
  missing: "!",
};

/* A pass without the target behind it has a letter, so that it cannot be read as a tick. */
const LETTERS: Record<string, string> = { virtual: "v", compiled: "c", static: "l" };

export const VERDICTS = ["pass", "degraded", "mismatch", "fail", "unsupported"];

/* ---- one cell ---- */

export function glyph({ outcome, evidence }: Marked): string {
  return (outcome === "pass" && LETTERS[evidence ?? ""]) || GLYPHS[outcome]!;
}

/** The short word of a cell: a pass is named by what it rests on. */
export function word({ outcome, evidence }: Marked): string {
  return outcome === "pass" && evidence ? t(`evidence.${evidence}`) : t(`outcome.${outcome}`);
}

/** Outcome is a colour, evidence a fill. What is no verdict has no evidence to show. */
export function look({ outcome, evidence }: Marked): string {
  return VERDICTS.includes(outcome) && evidence ? `o-${outcome} e-${evidence}` : `o-${outcome}`;
}

/** Outcome and evidence in words, for people who do not see the mark. */
export function spoken({ outcome, evidence }: Marked): string {
  const name = t(`outcome.${outcome}`);
  return evidence ? `${name}, ${t(`evidence.${evidence}`)}` : name;
}

export function Mark({ cell }: { cell: Marked }) {
  return <span class={`cell ${look(cell)}`} aria-hidden="true">{glyph(cell)}</span>;
}

export function Labelled({ cell }: { cell: Marked }) {
  return <span class="labelled"><Mark cell={cell} /> <span>{word(cell)}</span></span>;
}

/** Stage and cause in words. */
export function stopped({ stage, cause }: { stage: string; cause: string | null }): string {
  const where = t(`stage.${stage}`);
  return cause ? `${where} · ${t(`cause.${cause}`)}` : where;
}

/* ---- links ---- */

export const ModelLink = ({ model }: { model: Model }) => <a class="id" href={href("model", model.id)}>{model.id}</a>;
export const TargetLink = ({ target }: { target: Target }) => <a class="id" href={href("target", target.id)}>{target.id}</a>;

/* ---- legend ---- */

export function Legend() {
  const outcomes = data.outcomes.map((outcome) => ({ cell: { outcome, evidence: "hardware" }, name: `outcome.${outcome}`, meaning: `means.${outcome}` }));
  const kinds = data.evidences.map((evidence) => ({ cell: { outcome: "pass", evidence }, name: `evidence.${evidence}`, meaning: `rests.${evidence}` }));
  const list = (entries: typeof kinds) => entries.map(({ cell, name, meaning }) => <dd title={t(meaning)}><Mark cell={cell} /> {t(name)}</dd>);
  return (
    <div class="legend">
      <dl><dt>{t("legend.outcome")}</dt>{list(outcomes)}</dl>
      <dl><dt>{t("legend.evidence")}</dt>{list(kinds)}</dl>
    </div>
  );
}

/* ---- counts ---- */

/* Verdicts that claim nothing are counted over all evidence: the fill is plain where it differs. */
export const fill = ({ outcome, shared }: Tally): Marked => ({ outcome, evidence: shared ?? "hardware" });

/** A bar with a part for every outcome and kind of evidence; each leads to its cells. terms: of the filter, besides. */
export function Stack({ cells, terms = [] }: { cells: Cell[]; terms?: string[] }) {
  return <div class="stack">{tally(cells).map((group) => <Segment group={group} terms={terms} />)}</div>;
}

function Segment({ group, terms }: { group: Tally; terms: string[] }) {
  const query = [...terms, `is:${group.outcome}`, ...(group.evidence ? [`ev:${group.evidence}`] : [])];
  const label = `${integer(group.count)} ${spoken(group)}`;
  return (
    <a class={`cell ${look(fill(group))} digits-${String(group.count).length}`} style={{ flexGrow: group.count }} href={filterHref(...query)}
      title={label} aria-label={label}><span>{group.count}</span></a>
  );
}

/** Counts in words, passes by evidence: never a sum over kinds. */
export function Counts({ cells }: { cells: Cell[] }) {
  const groups = tally(cells).map((group) => <li><Mark cell={fill(group)} /> <b>{integer(group.count)}</b> {word(group)}</li>);
  return <ul class="counts">{groups}</ul>;
}

/** What passed, kept apart by evidence: `✓10 v2`; null where nothing did. */
export function passes(cells: Cell[]) {
  const groups = tally(cells).filter(({ outcome }) => outcome === "pass");
  return groups.length ? groups.map((group) => <span class="passes" title={spoken(group)}><Mark cell={group} />{integer(group.count)}</span>) : null;
}

/* ---- long lists ---- */

/** The first of a list, and the rest folded away. list: makes a list of some items; more: says how many are folded. */
export function Folded<T>({ items, limit, list, more }: {
  items: T[];
  limit: number;
  list: (items: T[]) => ComponentChildren;
  more: (count: number) => string;
}) {
  if (items.length <= limit) return <>{list(items)}</>;
  return <>{list(items.slice(0, limit))}<details><summary>{more(items.length - limit)}</summary>{list(items.slice(limit))}</details></>;
}

/** A bar beside a number. part: of the whole, 0 to 1. */
export function Bar({ part, kind = "" }: { part: number; kind?: string }) {
  return <div class="track" aria-hidden="true"><div class={`fill ${kind}`} style={{ width: `${100 * part}%` }} /></div>;
}

/** Reasons as a list, each with a bar for the cells it holds. terms: of the filter, besides. */
export function Reasons({ groups, terms = [], limit }: { groups: Stopped[]; terms?: string[]; limit: number }) {
  const most = Math.max(...groups.map(({ cells }) => cells.length));
  const list = (items: Stopped[]) => <ol class="reasons">{items.map((group) => <ReasonItem group={group} most={most} terms={terms} />)}</ol>;
  return <Folded items={groups} limit={limit} list={list} more={(count) => counted("reasons.more", count)} />;
}

function ReasonItem({ group, most, terms }: { group: Stopped; most: number; terms: string[] }) {
  const { reason, outcome, cells } = group;
  const models = new Set(cells.map(({ model }) => model)).size;
  const query = [...terms, `is:${outcome}`, term("why", reason.signature || reason.message)];
  return (
    <li>
      <a class="count" href={filterHref(...query)} aria-label={counted("cells", cells.length)}>{integer(cells.length)}</a>
      <div>
        <p class="message">{reason.message || t("why.none")}</p>
        <p class="meta"><Labelled cell={{ outcome, evidence: "hardware" }} /> · {stopped(group)} · {counted("models", models)}</p>
        <Bar part={cells.length / most} kind={`o-${outcome}`} />
      </div>
    </li>
  );
}

/* ---- facts ---- */

export type Fact = [ComponentChildren, ComponentChildren];

/** Pairs of name and value; those without a value are left out. */
export function Facts({ pairs }: { pairs: Fact[] }) {
  const present = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return <dl class="facts">{present.map(([name, value]) => <div><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

export function NotFound() {
  return <><h1>{t("absent")}</h1><p><a href="#/">{t("nav.overview")}</a> · <a href="#/matrix">{t("nav.matrix")}</a></p></>;
}
