/* Latency and memory of a model between targets, where they may be compared. */
import { type Cell, type Model, grouped } from "./cells";
import { Bar, Mark, TargetLink } from "./parts";
import { alone } from "./story";
import { bytes, seconds, t, when } from "./text";
import type { Result } from "./types";

const OF_TARGET = ["convert", "load", "run"]; // stages whose memory is the target's

interface Measured {
  cell: Cell;
  record: Result;
}

/** Only what one run measured on one machine, where the target itself ran, and of it only what passed: other numbers are no
 * comparison. */
export function Comparison({ model, records }: { model: Model; records: (Result | null)[] }) {
  const measured = model.cells.flatMap((cell): Measured[] => {
    const record = records[cell.target.index];
    return record && record.stages.length && alone(record.run) && ran(cell) ? [{ cell, record }] : [];
  });
  const runs = [...grouped(measured, ({ record }) => record.run).values()].filter((group) => group.length > 1);
  if (!runs.length) return null;
  return <Compared group={runs.reduce((a, b) => (b[0]!.record.started > a[0]!.record.started ? b : a))} />;
}

/* How fast a simulator or a stand-in is says nothing of the device. */
const ran = ({ outcome, evidence }: Cell): boolean => ["pass", "degraded"].includes(outcome) && ["hardware", "host"].includes(evidence!);

function Compared({ group }: { group: Measured[] }) {
  const rows = group.map(({ cell, record }) => ({ cell, latency: record.perf?.median_seconds ?? null, memory: memory(record) }));
  const timed = rows.some(({ latency }) => latency !== null);
  const slowest = Math.max(...rows.map(({ latency }) => latency ?? 0), 1e-9);
  const largest = Math.max(...rows.map((row) => row.memory), 1);
  rows.sort((a, b) => (timed ? (a.latency ?? Infinity) - (b.latency ?? Infinity) : a.memory - b.memory));
  const { run, started } = group[0]!.record;
  return (
    <section><h2>{t("compare")}</h2><p class="lead">{t("compare.lead", { run, when: when(started) })}</p>
      <table class="list costs">
        <thead><tr>
          <th scope="col">{t("target")}</th>{timed ? <th scope="col">{t("perf.median")}</th> : null}<th scope="col">{t("memory")}</th>
        </tr></thead>
        <tbody>{rows.map(({ cell, latency, memory: peak }) => (
          <tr>
            <th scope="row"><span class="labelled"><Mark cell={cell} /> <TargetLink target={cell.target} /></span></th>
            {timed ? <td>{latency === null ? <span class="meta">–</span> : <><Bar part={latency / slowest} kind="latency" /><span>{seconds(latency)}</span></>}</td> : null}
            <td><Bar part={peak / largest} kind="memory" /><span>{bytes(peak)}</span></td>
          </tr>
        ))}</tbody>
      </table>
    </section>
  );
}

const memory = ({ stages }: Result): number => Math.max(0, ...stages.filter(({ name }) => OF_TARGET.includes(name)).map((stage) => stage.peak_rss_bytes));
