/* Passes over time, as inline SVG. A line is drawn as its evidence is: full, dashed or dotted. */
import { type Target, data } from "./cells";
import { type Day, daysOf } from "./story";
import { integer, percent, t, when } from "./text";

/** The share of the known cells that passed, a day each. */
interface Line {
  evidence: string;
  shares: number[];
}

/** A line for every kind of evidence that some day has passes on. */
function linesOf(days: Day[]): Line[] {
  return data.evidences
    .map((evidence, index) => ({ evidence, shares: days.map(({ known, passes }) => (known ? passes[index]! / known : 0)) }))
    .filter(({ shares }) => shares.some((share) => share > 0));
}

/** Places along a width, by time. */
function along(days: Day[], left: number, width: number): number[] {
  const moments = days.map(({ date }) => Date.parse(date));
  const [first, last] = [moments[0]!, moments.at(-1)!];
  return moments.map((at) => left + (last > first ? ((at - first) / (last - first)) * width : width));
}

const path = (xs: number[], ys: number[]): string => xs.map((x, n) => `${n ? "L" : "M"}${x.toFixed(1)} ${ys[n]!.toFixed(1)}`).join("");

function said(lines: Line[], days: Day[]): string {
  const one = ({ evidence, shares }: Line) => {
    const values = { from: percent(shares[0]!), to: percent(shares.at(-1)!), first: when(days[0]!.date), last: when(days.at(-1)!.date) };
    return t("trend.said", { ...values, evidence: t(`evidence.${evidence}`) });
  };
  return lines.map(one).join("; ") || t("trend.none");
}

/** A small line beside a target's name; nothing before a second day. */
export function Spark({ target }: { target: Target }) {
  const days = daysOf(target);
  if (days.length < 2) return null;
  const [width, height] = [120, 26];
  const xs = along(days, 3, width - 8);
  const lines = linesOf(days);
  const label = said(lines, days);
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
      <title>{label}</title>
      <path class="floor" d={`M0 ${height - 3}H${width}`} />
      {lines.map(({ evidence, shares }) => {
        const ys = shares.map((share) => 3 + (1 - share) * (height - 6));
        return <><path class={`line e-${evidence}`} d={path(xs, ys)} /><circle class={`end e-${evidence}`} cx={xs.at(-1)} cy={ys.at(-1)} r="2.6" /></>;
      })}
    </svg>
  );
}

/* ---- the same, large, with its numbers as a table ---- */

export const [WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM] = [560, 190, 44, 16, 24, 24] as const;

export function History({ target }: { target: Target }) {
  const days = daysOf(target);
  if (days.length < 2) return null;
  const xs = along(days, LEFT, WIDE - LEFT - RIGHT);
  const y = (share: number) => TOP + (1 - share) * (HIGH - TOP - BOTTOM);
  const lines = linesOf(days);
  return (
    <section><h2>{t("trend")}</h2><p class="lead">{t("trend.lead")}</p>
      <figure class="chart"><svg viewBox={`0 0 ${WIDE} ${HIGH}`} role="img" aria-label={said(lines, days)}>
        {[0, 0.5, 1].map((share) => <>
          <path class="floor" d={`M${LEFT} ${y(share)}H${WIDE - RIGHT}`} />
          <text class="tick" x={LEFT - 8} y={y(share) + 4} text-anchor="end">{percent(share)}</text>
        </>)}
        <Dates days={days} xs={xs} />
        {lines.map((line) => <Trace line={line} days={days} xs={xs} ys={line.shares.map(y)} />)}
      </svg></figure>
      <DayTable days={days} />
    </section>
  );
}

function Dates({ days, xs }: { days: Day[]; xs: number[] }) {
  const ends = [...new Set([0, xs.length - 1])];
  return <>{ends.map((n) => <text class="tick" x={xs[n]} y={HIGH - 6} text-anchor={n === 0 ? "start" : "end"}>{when(days[n]!.date)}</text>)}</>;
}

function Trace({ line: { evidence, shares }, days, xs, ys }: { line: Line; days: Day[]; xs: number[]; ys: number[] }) {
  const name = t(`evidence.${evidence}`);
  const point = (n: number) => t("trend.point", { when: when(days[n]!.date), share: percent(shares[n]!), known: integer(days[n]!.known), evidence: name });
  return <>
    <path class={`line e-${evidence}`} d={path(xs, ys)} />
    {xs.map((x, n) => <circle class={`point e-${evidence}`} cx={x} cy={ys[n]} r="3"><title>{point(n)}</title></circle>)}
    <text class="name" x={xs.at(-1)} y={ys.at(-1)! - 9} text-anchor="end">{percent(shares.at(-1)!)} {name}</text>
  </>;
}

function DayTable({ days }: { days: Day[] }) {
  const kinds = data.evidences.flatMap((evidence, index) => (days.some(({ passes }) => passes[index]) ? [{ evidence, index }] : []));
  return (
    <details class="as-table"><summary>{t("chart.table")}</summary><table class="list narrow">
      <thead><tr>
        <th scope="col">{t("trend.day")}</th>
        {kinds.map(({ evidence }) => <th scope="col" class="numeric">{t("trend.passes", { evidence: t(`evidence.${evidence}`) })}</th>)}
        <th scope="col" class="numeric">{t("trend.known")}</th>
      </tr></thead>
      <tbody>{days.map(({ date, known, passes }) => (
        <tr><th scope="row">{when(date)}</th>{kinds.map(({ index }) => <td class="numeric">{integer(passes[index]!)}</td>)}<td class="numeric">{integer(known)}</td></tr>
      ))}</tbody>
    </table></details>
  );
}
