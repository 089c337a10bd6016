/* Errors against what is allowed, as a histogram: how many cells used up which share. */
import { type Cell, shareOf } from "./cells";
import { filterHref } from "./place";
import { integer, t, times } from "./text";
import { BOTTOM, HIGH, LEFT, TOP, WIDE } from "./trends";

const LIMIT = 30; // the last step that is allowed
const LAST = 50; // and the last of all
const NEAR = 0.4;

/** terms: of the filter, besides. */
export function Errors({ cells, terms }: { cells: Cell[]; terms: string[] }) {
  const judged = cells.filter((cell): cell is Cell & { step: number } => cell.step !== null);
  if (judged.length < 2) return null;
  const over = judged.filter(({ step }) => step > LIMIT).length;
  const near = judged.filter(({ step, outcome }) => shareOf(step) > NEAR && step <= LIMIT && outcome === "pass").length;
  const label = t("errors.said", { n: integer(judged.length), over: integer(over) });
  return (
    <section><h2>{t("errors")}</h2><p class="lead">{t("errors.lead")}</p>
      <figure class="chart"><svg viewBox={`0 0 ${WIDE} ${HIGH}`} role="img" aria-label={label}><Bars cells={judged} /></svg></figure>
      <p class="meta">{label} {near ? <a href={filterHref(...terms, "is:pass", `error:${NEAR}`)}>{t("errors.near", { n: integer(near) })}</a> : null}</p>
    </section>
  );
}

/* On a stand-in: framed, not full. */
function Bars({ cells }: { cells: (Cell & { step: number })[] }) {
  const counts = Array.from({ length: LAST + 1 }, (_, step) => cells.filter((cell) => cell.step === step).length);
  const standIn = cells.some(({ evidence }) => evidence === "virtual") ? "e-virtual" : "";
  const most = Math.max(...counts);
  const step = (WIDE - LEFT - 12) / (LAST + 1);
  const x = (n: number) => LEFT + n * step;
  const y = (count: number) => TOP + (1 - count / most) * (HIGH - TOP - BOTTOM);
  const base = y(0);
  const bar = (count: number, n: number) => count ? (
    <rect class={`bar ${n > LIMIT ? "over" : ""} ${standIn}`} x={x(n) + 1} y={y(count)} width={step - 2} height={base - y(count)} rx="1.5">
      <title>{t("errors.bar", { n: integer(count), share: times(shareOf(n)) })}</title></rect>
  ) : null;
  return <>
    <rect class="forbidden" x={x(LIMIT + 1)} y={TOP} width={WIDE - 12 - x(LIMIT + 1)} height={base - TOP} />
    <path class="floor" d={`M${LEFT} ${base}H${WIDE - 12}`} />
    <text class="tick" x={LEFT - 8} y={TOP + 8} text-anchor="end">{integer(most)}</text>
    {counts.map(bar)}
    <path class="border" d={`M${x(LIMIT + 1)} ${TOP}V${base}`} />
    {[0.001, 0.01, 0.1, 1, 10, 100].map((share, n) => (
      <text class={`tick ${share === 1 ? "limit" : ""}`} x={x(n * 10 + 1)} y={HIGH - 6} text-anchor="middle">{share}×</text>
    ))}
  </>;
}
