/* The page of one cell: the verdict, why, the numbers, the costs, and all that the record says. */
import type { ComponentChildren } from "preact";
import { type Cell, data, sharing } from "./cells";
import { Picture, Table, binding, entries, shareWord, worst } from "./numbers";
import { Bar, type Fact, Facts, Mark, ModelLink, TargetLink, VERDICTS, glyph, look, spoken } from "./parts";
import { cellHref, filterHref, matrixHref } from "./place";
import { term } from "./query";
import { bytes, counted, integer, known, scientific, seconds, t, version, when } from "./text";
import type { Known, Placement, Prompt, Result, StageTime, Turn } from "./types";

/** record: null where there is none, undefined where its file is not there. */
export function CellPage({ cell, record }: { cell: Cell; record: Result | null | undefined }) {
  const { model, target } = cell;
  return <>
    <p class="crumbs"><a href={matrixHref()}>{t("nav.matrix")}</a> › <ModelLink model={model} /> › <TargetLink target={target} /></p>
    <h1><span class="id">{model.id}</span> <small>{t("on")} <span class="id">{target.id}</span></small></h1>
    <Verdict cell={cell} record={record} />
    <Siblings cell={cell} />
    {record === undefined ? <p class="notice">{t("details.absent")}</p> : null}
    <Reason cell={cell} record={record} />
    {record?.known ? <Found known={record.known} /> : null}
    {record?.turn?.before ? <Turned turn={record.turn} /> : null}
    <Reproduce command={record ? record.reproduce : command(cell)} />
    {record ? <Record record={record} /> : null}
  </>;
}

function Record({ record }: { record: Result }) {
  const { turn: _, known: __, ...raw } = record;
  return <>
    <NumbersSection record={record} />
    <Generation prompts={record.generation ?? []} />
    <Costs stages={record.stages} />
    <div class="columns"><PlacementSection record={record} /><Axes axes={record.axes} /><Notes notes={record.notes} /><Environment environment={record.environment} /></div>
    {record.log_tail ? <section><h2>{t("log")}</h2><pre class="log" tabIndex={0}>{record.log_tail}</pre></section> : null}
    <details class="raw"><summary>{t("record")}</summary>
      <pre tabIndex={0}><code id="record">{JSON.stringify(raw, null, 1)}</code></pre>
      <button type="button" data-action="copy" data-from="record">{t("copy")}</button></details>
  </>;
}

/** What makes a record where there is none. */
const command = ({ model, target }: Cell): string => (/^[\w@%+=:,./-]+$/.test(model.id) ? `porting check ${model.id} --on ${target.id}` : "");

/** What the cell was before, and what was other then. */
function Turned({ turn: { start, before, moved, because } }: { turn: Turn }) {
  return (
    <section><h2>{t("turn.title")}</h2><p>{t("turn.before", { when: when(start), before })}</p>
      <ul class="versions">
        {Object.entries(moved).map(([name, [from, to]]) => <li><span class="id">{name}</span> {version(from) || t("turn.absent")} → <b>{version(to) || t("turn.absent")}</b></li>)}
        {because.map((text) => <li>{text}</li>)}
      </ul></section>
  );
}

/* ---- verdict ---- */

function Verdict({ cell, record }: { cell: Cell; record: Result | null | undefined }) {
  return (
    <section class={`verdict ${look(cell)}`}>
      <div class="big"><Mark cell={cell} /></div>
      <div>
        <p class="headline">{t(`outcome.${cell.outcome}`)}{cell.evidence ? <> <span class="badge">{t(`evidence.${cell.evidence}`)}</span></> : null}</p>
        <p>{sentence(cell)} {record ? limit(record) : null}</p>
        <Facts pairs={[
          [t("stage.last"), t(`stage.${cell.stage}`)],
          [t("cause"), cell.cause ? t(`cause.${cell.cause}`) : null],
          [t("precision"), record?.effective_precision],
          [t("seconds"), record?.seconds ? seconds(record.seconds) : null],
          [t("memory"), record?.peak_rss_bytes ? bytes(record.peak_rss_bytes) : null],
          [t("perf.median"), record ? latency(record) : null],
          [t("started"), record?.started ? when(record.started) : null],
          [t("since"), record?.turn ? when(record.turn.start.slice(0, 10)) : null],
        ]} />
        <Steps cell={cell} timed={record?.stages ?? []} />
      </div>
    </section>
  );
}

/** A pass says no more than its evidence does. */
function sentence({ outcome, evidence }: Cell): string {
  if (outcome === "pass" && evidence) return t(`passed.${evidence}.means`);
  const claim = t(`means.${outcome}`);
  return VERDICTS.includes(outcome) && evidence ? `${claim} ${t("evidence.line", { text: t(`rests.${evidence}`) })}` : claim;
}

function limit(record: Result): string | null {
  const entry = worst(record);
  if (!entry) return null;
  const { metric, ratio } = binding(entry);
  const values = { share: shareWord(ratio), metric: t(`metric.${metric}`), output: entry.output.name, case: entry.name };
  if (ratio === Infinity) return t("numbers.broken", values);
  return t(ratio > 1 ? "numbers.over" : "numbers.under", values);
}

function latency({ perf }: Result): string | null {
  if (!perf) return null;
  return t("perf.value", { median: seconds(perf.median_seconds), best: seconds(perf.min_seconds), runs: integer(perf.runs), case: perf.case });
}

/** The stages as steps; how far the cell got. What passed is measured before its numbers are compared. */
function Steps({ cell, timed }: { cell: Cell; timed: StageTime[] }) {
  const last = data.stages.indexOf(cell.stage);
  const done = (stage: string, index: number) => index < last || timed.some(({ name }) => name === stage);
  return (
    <ol class="steps" aria-label={t("stages")}>{data.stages.map((stage, index) => (
      <li class={index === last ? "last" : done(stage, index) ? "done" : "never"} aria-current={index === last ? "step" : undefined}>{t(`stage.${stage}`)}</li>
    ))}</ol>
  );
}

/** The same model on the other targets. */
function Siblings({ cell }: { cell: Cell }) {
  const link = (other: Cell) => {
    const label = `${other.target.id}: ${spoken(other)}`;
    const here = other === cell ? "page" : undefined;
    return <> <a class={`cell ${look(other)}`} href={cellHref(other)} title={label} aria-label={label} aria-current={here}>{glyph(other)}</a></>;
  };
  return <nav class="siblings" aria-label={t("cell.siblings")}><span class="meta">{t("cell.siblings")}</span>{cell.model.cells.map(link)}</nav>;
}

/* ---- why and how ---- */

function Reason({ cell, record }: { cell: Cell; record: Result | null | undefined }) {
  const message = record?.message || cell.reason?.message;
  if (cell.outcome === "pass" || !message) return null;
  return (
    <section><h2>{t("why")}</h2>
      <p class="why-message">{message}</p>
      {record?.hint ? <p><b>{t("hint")}</b> {record.hint}</p> : null}
      <Shared cell={cell} />
    </section>
  );
}

/** Which operators were blamed, the smallest case, what may help, and the commands that tell more. */
function Found({ known: { said, operators, smallest, remedies, commands } }: { known: Known }) {
  if (!commands.length && !remedies.length && !said) return null;
  return (
    <section><h2>{t("found")}</h2>
      {said ? <p>{said}</p> : null}
      {operators.length ? <ul class="operators">{operators.map((line) => <li><code>{line}</code></li>)}</ul> : null}
      {smallest ? <p><b>{t("found.smallest")}</b> <code>{smallest}</code></p> : null}
      {remedies.map((line) => <p><b>{t("found.helps")}</b> {line}</p>)}
      {commands.length ? <><p class="meta">{t("found.commands")}</p><pre tabIndex={0}><code>{commands.join("\n")}</code></pre></> : null}
    </section>
  );
}

/** How many cells ended for the same reason. */
function Shared({ cell: { reason } }: { cell: Cell }) {
  if (!reason) return null;
  const others = sharing(reason).length;
  const text = counted("cell.shared", others);
  return (
    <p class="meta">{others > 1 ? <a href={filterHref(term("why", reason.signature || reason.message))}>{text}</a> : text}
      {reason.signature ? <> · {t("signature")} <code>{reason.signature}</code></> : null}</p>
  );
}

function Reproduce({ command: line }: { command: string }) {
  if (!line) return null;
  return (
    <section><h2>{t("reproduce")}</h2><div class="command"><pre tabIndex={0}><code id="command">{line}</code></pre>{" "}
      <button type="button" data-action="copy" data-from="command">{t("copy")}</button></div></section>
  );
}

/* ---- numbers and costs ---- */

function NumbersSection({ record }: { record: Result }) {
  if (!record.cases.length) return null;
  return (
    <section><h2>{t("numbers")}</h2><p class="lead">{t("numbers.lead")}</p><Picture found={entries(record)} /><Table record={record} /></section>
  );
}

/** Of a language model in its served form. */
function Generation({ prompts }: { prompts: Prompt[] }) {
  if (!prompts.length) return null;
  return (
    <section><h2>{t("generation")}</h2><p class="lead">{t("generation.lead")}</p><table class="list generation">
      <thead><tr>
        <th scope="col">{t("generation.prompt")}</th><th scope="col" class="numeric">{t("generation.tokens")}</th>
        <th scope="col">{t("generation.verdict")}</th><th scope="col" class="numeric">{t("generation.scores")}</th>
      </tr></thead>
      <tbody>{prompts.map((one) => <PromptRow one={one} />)}</tbody>
    </table></section>
  );
}

function PromptRow({ one }: { one: Prompt }) {
  const number = (value: number | null) => (value === null ? t("numbers.infinite") : scientific(value));
  const same = one.row === null;
  const verdict = same ? "equal" : one.tie ? "tie" : "other";
  const values = { ...one, step: (one.step ?? 0) + 1, gap: number(one.gap), limit: number(one.allowed_gap) };
  return (
    <tr>
      <th scope="row"><span class="id">{one.name}</span></th><td class="numeric">{integer(one.rows * one.tokens)}</td>
      <td>{t(`generation.${verdict}`)}{same ? null : `: ${t("generation.where", values)}`}</td>
      <td class="numeric">{number(one.max_abs)}</td>
    </tr>
  );
}

function Costs({ stages }: { stages: StageTime[] }) {
  if (!stages.length) return null;
  const longest = Math.max(...stages.map((stage) => stage.seconds), 1e-9);
  const largest = Math.max(...stages.map((stage) => stage.peak_rss_bytes), 1);
  return (
    <section><h2>{t("costs")}</h2><table class="list costs">
      <thead><tr><th scope="col">{t("stage")}</th><th scope="col">{t("seconds.wall")}</th><th scope="col">{t("memory")}</th></tr></thead>
      <tbody>{stages.map((stage) => (
        <tr>
          <th scope="row">{t(`stage.${stage.name}`)}</th>
          <td><Bar part={stage.seconds / longest} kind="time" />
            <span>{seconds(stage.seconds)} <small>{t("seconds.cpu", { n: seconds(stage.cpu_seconds) })}</small></span></td>
          <td><Bar part={stage.peak_rss_bytes / largest} kind="memory" /><span>{bytes(stage.peak_rss_bytes)}</span></td>
        </tr>
      ))}</tbody>
    </table></section>
  );
}

/* ---- the rest ---- */

const Block = ({ heading, children }: { heading: string; children: ComponentChildren }) => <section><h2>{heading}</h2>{children}</section>;
const Id = ({ name }: { name: string }) => <span class="id">{name}</span>;

function PlacementSection({ record: { placement, route, attempts } }: { record: Result }) {
  if (!placement && !route.length) return null;
  const place = placement ?? {};
  const part = arithmetic(place);
  const detail = Object.entries(place.detail ?? {}).map(([name, count]): Fact => [<Id name={name} />, integer(count)]);
  return (
    <Block heading={t("placement")}><Facts pairs={[
      [t("placement.target"), numberOr(place.target_ops)],
      [t("placement.other"), numberOr(place.other_ops)],
      [t("placement.arithmetic"), typeof part === "number" ? `${(100 * part).toFixed(1)} %` : null],
      [t("placement.device"), place.device],
      ...detail,
      [t("route"), route.join(" → ")],
      ...(attempts ?? []).map((attempt): Fact => [t("attempt"), attempt]),
    ]} /></Block>
  );
}

/** All of the arithmetic where no operator ran elsewhere. */
const arithmetic = (place: Placement) => (place.target_ops && place.other_ops === 0 ? (place.arithmetic ?? 1) : place.arithmetic);

const numberOr = (value: number | null | undefined): string => (value === null || value === undefined ? t("placement.unknown") : integer(value));

function Axes({ axes }: { axes: Result["axes"] }) {
  const pairs = Object.entries(axes);
  const word = (state: string) => (known(`axis.${state}`) ? t(`axis.${state}`) : state);
  return pairs.length ? <Block heading={t("axes")}><Facts pairs={pairs.map(([name, state]) => [<Id name={name} />, word(state)])} /></Block> : null;
}

function Notes({ notes }: { notes: string[] }) {
  return notes.length ? <Block heading={t("notes")}><ul>{notes.map((note) => <li>{note}</li>)}</ul></Block> : null;
}

function Environment({ environment }: { environment: Result["environment"] }) {
  const pairs = Object.entries(environment).sort(([a], [b]) => (a < b ? -1 : 1));
  return pairs.length ? <Block heading={t("environment")}><Facts pairs={pairs} /></Block> : null;
}
