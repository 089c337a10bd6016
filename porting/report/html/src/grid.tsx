/* The table of the matrix: models by targets under group headings; of a large one only the rows in sight are made. */
import { Component } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Cell, type Model, type Target, byReason, cellAt, tally, targets } from "./cells";
import { VERDICTS, fill, glyph, look, passes, spoken, word } from "./parts";
import { cellHref, href, matrix } from "./place";
import type { Found } from "./query";
import { fit, words } from "./room";
import { counted, integer, t } from "./text";
import { useWindow } from "./window";

export interface Group {
  /** Null where models are not grouped. */
  name: string | null;
  models: Model[];
  open: boolean;
}

type Item = { key: string; group: Group; model: null } | { key: number; group: null; model: Model };

const WHOLE = 3000; // cells that are made at once, for the browser's own search; of more, those in sight

interface Props {
  groups: Group[];
  found: Found;
  onFold: (group: Group) => void;
  onPeek: (cell: Cell | null) => void;
}

export function Grid({ groups, found, onFold, onPeek }: Props) {
  const grid = useRef<HTMLDivElement>(null);
  const waiting = useRef<Cell | null>(null); // for its row, to get the focus
  const printing = usePrinting();
  const items = useMemo(() => itemsOf(groups), [groups]);
  const whole = printing || items.length * targets.length <= WHOLE;
  const kept = matrix.here ? placeOf(items, matrix.here.model) : -1;
  const height = words ? 34 : 30;
  const rows = useWindow({ count: items.length, keyOf: (n) => items[n]!.key, height, scroller: grid, offset: matrix.scroll, kept });

  /** Give a cell the focus, now if it is there, else when it is. */
  function focus(cell: Cell): void {
    const link = linkOf(grid.current!, cell);
    const place = placeOf(items, cell.model);
    waiting.current = link || place < 0 ? null : cell;
    if (waiting.current) rows.scrollToIndex(place);
    link?.focus({ preventScroll: true });
    link?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function onKeyDown(event: KeyboardEvent): void {
    const cell = cellOf(event.target);
    const next = cell && !event.altKey && !event.metaKey && step(items, cell, event);
    if (!next) return;
    event.preventDefault();
    focus(next);
  }

  function onFocusIn(event: FocusEvent): void {
    const cell = cellOf(event.target);
    matrix.here = cell;
    if (cell) onlyTabStop(grid.current!, event.target as HTMLElement);
    onPeek(cell);
  }

  useLayoutEffect(() => {
    const onResize = () => fit(grid.current!);
    onResize();
    addEventListener("resize", onResize);
    return () => removeEventListener("resize", onResize);
  }, []);
  useLayoutEffect(() => comeBack(grid.current!, focus), []);
  useLayoutEffect(() => {
    if (waiting.current && linkOf(grid.current!, waiting.current)) focus(waiting.current);
    const link = grid.current!.querySelector<HTMLElement>("a.cell[tabindex='0']");
    onlyTabStop(grid.current!, link ?? grid.current!.querySelector("a.cell[data-model]"));
  });

  const shown = whole ? items.map((_, index) => ({ index, start: 0, end: 0 })) : rows.getVirtualItems();
  const body = [];
  let end = 0;
  for (const one of shown) {
    if (one.start > end) body.push(<Space height={one.start - end} />);
    const ref = whole ? undefined : rows.measureElement;
    body.push(<Row key={items[one.index]!.key} item={items[one.index]!} index={one.index} hits={found.hits} onFold={onFold} measure={ref} />);
    end = one.end;
  }
  if (!whole && rows.getTotalSize() > end) body.push(<Space height={rows.getTotalSize() - end} />);

  return (
    <div id="grid" class={`grid ${whole ? "" : "windowed"}`} ref={grid} style={{ "--columns": targets.length }} onKeyDown={onKeyDown}
      onFocusIn={onFocusIn} onMouseOver={(event) => onPeek(cellOf(event.target))} onScroll={(event) => (matrix.scroll = event.currentTarget.scrollTop)}>
      {items.length ? (
        <table aria-rowcount={items.length + 1}>
          <colgroup><col class="name" />{targets.map(() => <col class="mark" />)}<col class="why" /></colgroup>
          <Head />
          <tbody>{body}</tbody>
        </table>
      ) : <p class="none">{t("matrix.none")}</p>}
    </div>
  );
}

function itemsOf(groups: Group[]): Item[] {
  return groups.flatMap((group) => {
    const heading: Item[] = group.name === null ? [] : [{ key: `group ${group.name}`, group, model: null }];
    const members: Item[] = group.open ? group.models.map((model) => ({ key: model.index, group: null, model })) : [];
    return [...heading, ...members];
  });
}

const placeOf = (items: Item[], model: Model): number => items.findIndex((item) => item.model === model);

/** On paper every row is made. */
function usePrinting(): boolean {
  const [printing, setPrinting] = useState(false);
  useLayoutEffect(() => {
    const media = matchMedia("print");
    const onChange = () => setPrinting(media.matches);
    media.addEventListener("change", onChange);
    return () => media.removeEventListener("change", onChange);
  }, []);
  return printing;
}

/* ---- rows ---- */

function Head() {
  return (
    <thead class="head"><tr aria-rowindex={1}>
      <th scope="col" class="name">{t("model")}</th>
      {targets.map((target) => <HeadCell target={target} />)}
      <th scope="col" class="why">{t("matrix.why")}</th>
    </tr></thead>
  );
}

function HeadCell({ target }: { target: Target }) {
  const [adapter, ...rest] = target.id.split(":");
  return (
    <th scope="col" class={border(target)}><a tabIndex={-1} href={href("target", target.id)} title={target.id}>
      <b>{adapter}</b><s>:</s><span>{rest.join(":")}</span><i>{t(`evidence.${target.evidence}`)}</i>
    </a></th>
  );
}

/** Where another kind of evidence begins, there is a line. */
const border = ({ index, evidence }: Target): string => (index && targets[index - 1]!.evidence !== evidence ? "border" : "");

const Space = ({ height }: { height: number }) => <tr class="space" style={{ height: `${height}px` }} aria-hidden="true" />;

interface RowProps {
  item: Item;
  index: number;
  hits: Found["hits"];
  onFold: (group: Group) => void;
  measure: ((row: HTMLElement | null) => void) | undefined;
}

/** Made anew only when something about it is new: scrolling makes just the rows that come into sight. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return (Object.keys(next) as (keyof RowProps)[]).some((name) => next[name] !== this.props[name]);
  }

  override render({ item, index, hits, onFold, measure }: RowProps) {
    const { group, model } = item;
    return (
      <tr ref={measure} class={group ? "group" : "model"} data-index={index} aria-rowindex={index + 2}>
        {group ? <GroupCells group={group} hits={hits} onFold={onFold} /> : <ModelCells model={model} hits={hits} />}
      </tr>
    );
  }
}

function GroupCells({ group, hits, onFold }: { group: Group; hits: Found["hits"]; onFold: (group: Group) => void }) {
  const { name, models, open } = group;
  return <>
    <th scope="rowgroup"><button type="button" data-action="section" aria-expanded={open} onClick={() => onFold(group)}>
      {name} <small>{integer(models.length)}</small>
    </button></th>
    {targets.map((target) => <td class={border(target)}>{open ? null : <Share cells={models.map((model) => model.cells[target.index]!)} hits={hits} />}</td>)}
    <td class="why" />
  </>;
}

/** How many of a group pass on a target, or are what was asked for; kept apart by evidence; full colour only where all do. */
function Share({ cells, hits }: { cells: Cell[]; hits: Found["hits"] }) {
  const chosen = cells.filter((cell) => (hits ? hits.has(cell) : cell.outcome === "pass"));
  const parts = tally(chosen).map((group) => (
    <span class={`cell ${look(fill(group))} ${group.count < cells.length ? "part" : ""}`} title={`${counted("models", group.count)}: ${spoken(group)}`}>
      {group.count}
    </span>
  ));
  if (parts.length) return <div class="split">{parts}</div>;
  const tried = cells.filter(({ outcome }) => VERDICTS.includes(outcome)).length; // nothing tried is not the same as nothing right
  if (hits || !tried) return null;
  return <span class="zero" title={t("matrix.zero", { n: integer(tried), all: integer(cells.length) })}>0</span>;
}

function ModelCells({ model, hits }: { model: Model; hits: Found["hits"] }) {
  return <>
    <th scope="row"><a class="id" tabIndex={-1} href={href("model", model.id)} title={model.id}>{model.id}</a></th>
    {model.cells.map((cell) => <td class={border(cell.target)}><CellLink cell={cell} dim={hits !== null && !hits.has(cell)} /></td>)}
    <td class="why"><Why model={model} /></td>
  </>;
}

function CellLink({ cell, dim }: { cell: Cell; dim: boolean }) {
  return (
    <a class={`cell ${look(cell)}${dim ? " dim" : ""}`} tabIndex={-1} href={cellHref(cell)} data-model={cell.model.index} data-target={cell.target.index}
      aria-label={`${cell.model.id}, ${cell.target.id}: ${spoken(cell)}`}>{glyph(cell)}{words ? <span class="word">{word(cell)}</span> : null}</a>
  );
}

/** What passes, and the most frequent reason of what does not. */
function Why({ model }: { model: Model }) {
  const [top] = byReason(model.cells.filter(({ outcome }) => outcome !== "unavailable"));
  return <>{passes(model.cells)} {top?.reason.message}</>;
}

/* ---- keyboard: one cell is in the tab order, the arrow keys move from there ---- */

const STEPS: Record<string, [number, number]> = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  Home: [0, -Infinity],
  End: [0, Infinity],
};

/** The cell that a key leads to; with Ctrl, Home and End lead to the first and last model. */
function step(items: Item[], cell: Cell, { key, ctrlKey }: KeyboardEvent): Cell | null {
  const [down, right] = STEPS[key] ?? [];
  if (down === undefined || right === undefined || (ctrlKey && Number.isFinite(right))) return null;
  const models = items.flatMap(({ model }) => model ?? []);
  if (ctrlKey) return models.at(right < 0 ? 0 : -1)!.cells[cell.target.index]!;
  const model = models[models.indexOf(cell.model) + down];
  return model?.cells[Math.min(targets.length - 1, Math.max(0, cell.target.index + right))] ?? null;
}

function cellOf(node: EventTarget | null): Cell | null {
  const link = (node as Element | null)?.closest<HTMLElement>("a.cell[data-model]");
  return link ? cellAt(Number(link.dataset.model), Number(link.dataset.target)) : null;
}

function linkOf(grid: HTMLElement, { model, target }: Cell): HTMLElement | null {
  return grid.querySelector<HTMLElement>(`a.cell[data-model="${model.index}"][data-target="${target.index}"]`);
}

function onlyTabStop(grid: HTMLElement, link: HTMLElement | null): void {
  for (const old of grid.querySelectorAll<HTMLElement>("a.cell[tabindex='0']")) if (old !== link) old.tabIndex = -1;
  if (link) link.tabIndex = 0;
}

/** Keep the place: who comes back from a cell finds it focused, and the list where it was. */
function comeBack(grid: HTMLElement, focus: (cell: Cell) => void): void {
  grid.scrollTop = matrix.scroll;
  if (matrix.here) focus(matrix.here);
}
