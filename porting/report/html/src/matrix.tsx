/* The matrix: its filter, its legend, and a line that tells what the cell under the pointer or the focus is. */
import { useMemo, useReducer, useRef, useState } from "preact/hooks";
import { type Cell, type Marked, type Model, all, data, grouped, models } from "./cells";
import { type Group, Grid } from "./grid";
import { Mark, spoken, stopped } from "./parts";
import { GROUPS, type Grouping, filterHref, grouping, matrix, matrixHref } from "./place";
import { type Found, has, run, toggle } from "./query";
import { counted, integer, settings, t } from "./text";

const OPEN_MODELS = 300; // that fit the filter: up to here every group is open at first
const EXAMPLES = [
  "qwen", "on:cuda", "is:fail,mismatch", "ev:hardware", "cause:unsupported_op", "stage:convert", "is:pass error:0.5", "changed:broken", "count(pass)>=3", "-is:pass",
];

/** Models in groups, by what is chosen. */
function groupsOf(found: Found): Group[] {
  const by = grouping();
  if (by === "none") return [{ name: null, models: found.models, open: true }];
  return [...grouped(found.models, (model: Model) => model[by] || t("group.other"))].map(([name, members]) => {
    return { name, models: members, open: matrix.open.get(name) ?? (found.models.length <= OPEN_MODELS || members.length === 1) };
  });
}

export function MatrixPage() {
  const [turn, redraw] = useReducer((turn: number) => turn + 1, 0);
  const peek = useRef((_: Cell | null) => {});
  const { query, group } = matrix;
  const found = useMemo(() => run(query), [query]);
  const groups = useMemo(() => groupsOf(found), [found, group, turn, settings.language]);

  /** Change what is shown, and with it the address. */
  function change(what: Partial<typeof matrix>): void {
    Object.assign(matrix, what);
    history.replaceState(null, "", matrixHref());
    redraw(undefined as never);
  }

  const onFold = ({ name, open }: Group) => change({ open: new Map(matrix.open).set(name!, !open) });
  const onPeek = (cell: Cell | null) => peek.current(cell);
  const search = (text: string) => change({ query: text, open: new Map() });
  return <>
    <h1>{t("nav.matrix")}</h1>
    <form class="toolbar" role="search" onSubmit={(event) => event.preventDefault()}>
      <input id="query" type="search" value={query} placeholder={t("filter.placeholder")} aria-label={t("filter")} autocomplete="off" spellcheck={false}
        onInput={(event) => search(event.currentTarget.value)} />
      <label>{t("group")} <select id="group" value={grouping()} onChange={(event) => change({ group: event.currentTarget.value as Grouping, open: new Map() })}>
        {GROUPS.map((name) => <option value={name}>{t(`group.${name}`)}</option>)}
      </select></label>
      <FoldButton groups={groups} onFold={(open) => change({ open })} />
      <output id="shown" for="query">{shown(found)}</output>
      <Help />
    </form>
    <div id="chips"><Chips onChip={(key, value) => search(toggle(query, key, value))} /></div>
    {useMemo(() => <Grid groups={groups} found={found} onFold={onFold} onPeek={onPeek} />, [groups])}
    <Peek tell={peek} />
  </>;
}

function shown({ models: fitting, hits, unknown }: Found): string {
  const parts = [t("matrix.shown", { n: integer(fitting.length), all: integer(models.length) })];
  if (hits) parts.push(counted("cells", hits.size));
  if (unknown.length) parts.push(t("matrix.unknown", { terms: unknown.join(" ") }));
  return parts.join(" · ");
}

/** Opens every group, or closes every one. */
function FoldButton({ groups, onFold }: { groups: Group[]; onFold: (open: Map<string, boolean>) => void }) {
  const anyClosed = groups.some(({ open }) => !open);
  const fold = () => onFold(new Map(groups.map(({ name }) => [name!, anyClosed])));
  return <button type="button" data-action="fold" hidden={grouping() === "none"} onClick={fold}>{t(anyClosed ? "matrix.open" : "matrix.close")}</button>;
}

function Help() {
  const examples = EXAMPLES.map((query) => <li><a href={filterHref(query)}><code>{query}</code></a> {t(`example.${query}`)}</li>);
  return (
    <details class="help"><summary>{t("filter.help")}</summary>
      <p>{t("filter.rules")}</p><ul>{examples}</ul><p>{t("filter.keys")}</p>
    </details>
  );
}

/* ---- legend and filter in one ---- */

const occur = (names: string[], key: keyof Marked): string[] => names.filter((name) => all.some((cell) => cell[key] === name));
const outcomes = occur(data.outcomes, "outcome");
const evidences = occur(data.evidences, "evidence");

function Chips({ onChip }: { onChip: (key: string, value: string) => void }) {
  const chip = (key: string, value: string, cell: Marked, name: string, meaning: string) => (
    <button type="button" class="chip" title={t(meaning)} data-action="chip" aria-pressed={has(matrix.query, key, value)} onClick={() => onChip(key, value)}>
      <Mark cell={cell} /> {t(name)}
    </button>
  );
  return <>
    <div class="chips"><span class="meta">{t("legend.outcome")}</span> {outcomes.map((outcome) =>
      chip("is", outcome, { outcome, evidence: "hardware" }, `outcome.${outcome}`, `means.${outcome}`))}</div>
    <div class="chips"><span class="meta">{t("legend.evidence")}</span> {evidences.map((evidence) =>
      chip("ev", evidence, { outcome: "pass", evidence }, `evidence.${evidence}`, `rests.${evidence}`))}</div>
  </>;
}

/* ---- the line below ---- */

/** tell: is set to the function that says which cell to speak of. */
function Peek({ tell }: { tell: { current: (cell: Cell | null) => void } }) {
  const [cell, setCell] = useState<Cell | null>(null);
  tell.current = setCell;
  if (!cell) return <div id="peek" class="peek" hidden />;
  const why = cell.outcome !== "pass" && cell.reason;
  return (
    <div id="peek" class="peek">
      <Mark cell={cell} /> <b>{spoken(cell)}</b> <span class="id">{cell.model.id}</span> <span class="meta">{t("on")}</span>{" "}
      <span class="id">{cell.target.id}</span>{why ? <> <span class="meta">{stopped(cell)}</span> {why.message}</> : null}
    </div>
  );
}
