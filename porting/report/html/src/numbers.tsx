/* How far outputs are from the truth, against what was allowed: as a picture on a logarithmic scale, and as a table. */
import { digits, integer, scientific, t, times } from "./text";
import type { Metric, Output, Result } from "./types";

const METRICS: Metric[] = ["rel_norm", "row", "peak", "flips"];
const LOW = -3; // the scale runs from a thousandth of what is allowed ...
const HIGH = 2; // ... to a hundred times as much
const ROWS = 12; // as many pictures are shown at once

/* ---- shares of what is allowed ---- */

interface Judged {
  metric: string;
  ratio: number;
}

export interface Entry {
  /** Of the case. */
  name: string;
  output: Output;
  /** The metrics that the output was judged by. */
  metrics: Judged[];
  ratio: number;
}

function share(value: number | null, allowed: number): number {
  if (value === null) return Infinity; // JSON has no number for what was not finite
  if (value === 0) return 0;
  return allowed === 0 ? Infinity : value / allowed;
}

function judged(output: Output): Judged[] {
  const shares = METRICS.flatMap((metric) => {
    const allowed = output[`allowed_${metric}`] ?? null;
    return allowed === null ? [] : [{ metric, ratio: share(output[metric], allowed) }];
  });
  return output.nonfinite ? [{ metric: "nonfinite", ratio: Infinity }, ...shares] : shares;
}

/** One entry for every output of every case, the worst first. */
export function entries(record: Result): Entry[] {
  const all = record.cases.flatMap(({ name, outputs }) => outputs.map((output) => {
    const metrics = judged(output);
    return { name, output, metrics, ratio: Math.max(...metrics.map(({ ratio }) => ratio), -1) };
  }));
  return all.sort((a, b) => b.ratio - a.ratio);
}

/** The entry that lies nearest to, or furthest over, what was allowed; null where nothing was judged. */
export function worst(record: Result): Entry | null {
  const [first] = entries(record);
  return first?.metrics.length ? first : null;
}

export const binding = ({ metrics }: Entry): Judged => metrics.reduce((a, b) => (b.ratio > a.ratio ? b : a));

/* ---- picture ---- */

/** Where a ratio stands on the scale; outside the scale it stands at its end. */
function left(ratio: number) {
  const power = ratio > 0 ? Math.log10(ratio) : LOW;
  return { left: `${(100 * (Math.min(HIGH, Math.max(LOW, power)) - LOW)) / (HIGH - LOW)}%` };
}

export function shareWord(ratio: number): string {
  if (ratio === 0) return t("numbers.exact");
  return ratio === Infinity ? t("numbers.infinite") : times(ratio);
}

/** One line: a mark for every metric (for the binding one in a small place), the limit as a line, the worst share as a word. */
export function Strip({ one, small = false }: { one: Entry | null; small?: boolean }) {
  if (!one) return null;
  const { output } = one;
  const marks = small ? [binding(one)] : one.metrics;
  const said = one.metrics.map(({ metric, ratio }) => `${t(`metric.${metric}`)} ${shareWord(ratio)}`).join(", ");
  return (
    <div class={`strip ${one.ratio > 1 ? "over" : ""}`} role="img" aria-label={t("numbers.said", { shares: said })} title={said}>
      <div class="scale"><div class="beyond" style={left(1)} />
        {output.noise_rel_norm && output.allowed_rel_norm ? <i class="noise" style={left(output.noise_rel_norm / output.allowed_rel_norm)} /> : null}
        {marks.map(({ metric, ratio }) => <i class={`dot m-${metric} ${ratio > 1 ? "over" : ""}`} style={left(ratio)} />)}
      </div>
      <b>{shareWord(one.ratio)}</b>
    </div>
  );
}

function Axis() {
  const ticks = [0.001, 0.01, 0.1, 1, 10, 100];
  return (
    <div class="strip axis" aria-hidden="true">
      <div class="scale">{ticks.map((tick) => <span class={tick === 1 ? "limit" : ""} style={left(tick)}>{tick}×</span>)}</div><b />
    </div>
  );
}

export function Picture({ found }: { found: Entry[] }) {
  const drawn = found.filter(({ metrics }) => metrics.length);
  if (!drawn.length) return null;
  const line = (one: Entry) => <div class="strip-row"><span>{one.name} <span class="id">{one.output.name}</span></span><Strip one={one} /></div>;
  const rest = drawn.slice(ROWS);
  return (
    <div class="picture">
      {drawn.slice(0, ROWS).map(line)}
      {rest.length ? <details><summary>{t("numbers.rest", { n: integer(rest.length) })}</summary>{rest.map(line)}</details> : null}
      <div class="strip-row"><span /><Axis /></div>
      <Key drawn={drawn} />
    </div>
  );
}

/** What the marks are; only those that occur. */
function Key({ drawn }: { drawn: Entry[] }) {
  const metrics = new Set(drawn.flatMap((one) => one.metrics.map(({ metric }) => metric)));
  return (
    <p class="key">
      {[...metrics].map((metric) => <span><i class={`dot m-${metric}`} /> {t(`metric.${metric}`)}</span>)}
      {drawn.some(({ output }) => output.noise_rel_norm) ? <span><i class="noise" /> {t("numbers.noise")}</span> : null}
      <span><i class="beyond" /> {t("numbers.beyond")}</span>
    </p>
  );
}

/* ---- table ---- */

const COLUMNS: Metric[] = ["rel_norm", "row", "peak"];

export function Table({ record }: { record: Result }) {
  const heads = [...COLUMNS, "max_abs", "cosine", "sqnr_db", "flips", "nonfinite"].map((metric) => t(`metric.${metric}`));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={t("numbers.table")}><table class="list numbers">
      <thead><tr>
        <th scope="col">{t("case")}</th><th scope="col">{t("output")}</th>
        {[...heads, t("elements")].map((head) => <th scope="col" class="numeric">{head}</th>)}
      </tr></thead>
      <tbody>{record.cases.flatMap(({ name, outputs }) => outputs.map((output) => <TableRow name={name} output={output} />))}</tbody>
    </table></div>
  );
}

function TableRow({ name, output }: { name: string; output: Output }) {
  return (
    <tr>
      <td>{name}</td><th scope="row" class="id">{output.name}</th>
      {COLUMNS.map((metric) => <td class="numeric"><Limited value={output[metric]} allowed={output[`allowed_${metric}`]} format={scientific} /></td>)}
      <td class="numeric">{plain(output.max_abs, scientific)}</td>
      <td class="numeric">{plain(output.cosine, cosine)}</td>
      <td class="numeric">{output.rel_norm === 0 ? "∞" : plain(output.sqnr_db, (value) => `${digits(value)} dB`)}</td>
      <td class="numeric"><Limited value={output.flips} allowed={output.allowed_flips} format={integer} /></td>
      <td class={`numeric ${output.nonfinite ? "bad" : ""}`}>{integer(output.nonfinite)}</td>
      <td class="numeric">{integer(output.elements)}</td>
    </tr>
  );
}

type Format = (value: number) => string;

const plain = (value: number | null | undefined, format: Format): string => (value === null || value === undefined ? "–" : format(value));

/** Seven digits, cut and not rounded: a cosine below one must not read as one. */
const cosine = (value: number): string => (value === 1 ? "1" : (Math.trunc(value * 1e7) / 1e7).toFixed(7));

/** A value and what was allowed for it. */
function Limited({ value, allowed, format }: { value: number | null; allowed: number | null; format: Format }) {
  if (allowed === null || allowed === undefined) return <>{plain(value, format)}</>;
  return <>
    <span class={share(value, allowed) > 1 ? "bad" : ""}>{value === null ? t("numbers.infinite") : format(value)}</span> <small>/ {format(allowed)}</small>
  </>;
}
