/* The page of one cell: the verdict, why, the numbers, the costs, and all that the record says. */
"use strict";

const CellPage = (() => {
  const { html, t, counted, integer, seconds, bytes, scientific, when } = Core;

  function title([model, target]) {
    return `${model} · ${target}`;
  }

  async function render([modelId, targetId]) {
    const model = Cells.byModel.get(modelId);
    const target = Cells.byTarget.get(targetId);
    if (!model || !target) return App.notFound();
    const cell = model.cells[target.index];
    return page(cell, await loaded(cell));
  }

  /** The record, null where there is none, undefined where its file is not there. */
  async function loaded({ model, target }) {
    try {
      return (await Details.load(model))[target.index];
    } catch {
      return undefined; // said on the page: the index alone still tells outcome and reason
    }
  }

  function page(cell, record) {
    const known = record ?? { cases: [], stages: [], notes: [], axes: {}, environment: {}, reproduce: reproduceMissing(cell) };
    return html`
      <p class="crumbs"><a href="${Matrix.address()}">${t("nav.matrix")}</a> › ${Parts.modelLink(cell.model)} › ${Parts.targetLink(cell.target)}</p>
      <h1><span class="id">${cell.model.id}</span> <small>${t("on")} <span class="id">${cell.target.id}</span></small></h1>
      ${verdict(cell, known)}
      ${siblings(cell)}
      ${record === undefined ? html`<p class="notice">${t("details.absent")}</p>` : null}
      ${why(cell, known)}
      ${reproduce(known)}
      ${numbers(known)}
      ${generation(known)}
      ${costs(known)}
      <div class="columns">${placement(known)}${axes(known)}${notes(known)}${environment(known)}</div>
      ${log(known)}
      ${record ? raw(record) : null}
    `;
  }

  function reproduceMissing({ model, target }) {
    return /^[\w@%+=:,./-]+$/.test(model.id) ? `porting check ${model.id} --on ${target.id}` : "";
  }

  /* ---- verdict ---- */

  function verdict(cell, record) {
    return html`<section class="verdict ${Parts.look(cell)}">
      <div class="big">${Parts.mark(cell)}</div>
      <div><p class="headline">${t(`outcome.${cell.outcome}`)}${cell.evidence ? html` <span class="badge">${t(`evidence.${cell.evidence}`)}</span>` : null}</p>
        <p>${sentence(cell)} ${limit(record)}</p>
        ${Parts.facts([
          [t("stage.last"), t(`stage.${cell.stage}`)],
          [t("cause"), cell.cause ? t(`cause.${cell.cause}`) : null],
          [t("precision"), record.effective_precision],
          [t("seconds"), record.seconds ? seconds(record.seconds) : null],
          [t("memory"), record.peak_rss_bytes ? bytes(record.peak_rss_bytes) : null],
          [t("perf.median"), perf(record)],
          [t("started"), record.started ? when(record.started) : null],
        ])}
        ${steps(cell, record)}</div>
    </section>`;
  }

  /** A pass says no more than its evidence does. */
  function sentence({ outcome, evidence }) {
    if (outcome === "pass" && evidence) return t(`passed.${evidence}.means`);
    const claim = t(`means.${outcome}`);
    return Parts.VERDICTS.includes(outcome) && evidence ? `${claim} ${t("evidence.line", { text: t(`rests.${evidence}`) })}` : claim;
  }

  function limit(record) {
    const worst = Numbers.worst(record);
    if (!worst) return null;
    const { metric, ratio } = Numbers.binding(worst);
    const values = { share: Numbers.word(ratio), metric: t(`metric.${metric}`), output: worst.output.name, case: worst.name };
    if (ratio === Infinity) return t("numbers.broken", values);
    return t(ratio > 1 ? "numbers.over" : "numbers.under", values);
  }

  function perf({ perf: measured }) {
    if (!measured) return null;
    return t("perf.value", { median: seconds(measured.median_seconds), best: seconds(measured.min_seconds), runs: integer(measured.runs), case: measured.case });
  }

  /** The stages as steps; how far the cell got. */
  function steps(cell, record) {
    const last = DATA.stages.indexOf(cell.stage);
    const timed = new Set(record.stages.map(({ name }) => name));
    const items = DATA.stages.map((stage, index) => {
      const state = index === last ? "last" : index < last ? "done" : "never";
      return html`<li class="${state} ${timed.has(stage) ? "timed" : ""}" ${index === last ? html`aria-current="step"` : null}>${t(`stage.${stage}`)}</li>`;
    });
    return html`<ol class="steps" aria-label="${t("stages")}">${items}</ol>`;
  }

  /** The same model on the other targets. */
  function siblings(cell) {
    const links = cell.model.cells.map((other) => {
      const label = `${other.target.id}: ${Parts.spoken(other)}`;
      return html`<a class="cell ${Parts.look(other)}" href="${Parts.href("cell", other.model.id, other.target.id)}" title="${label}"
        aria-label="${label}" ${other === cell ? html`aria-current="page"` : null}>${Parts.glyph(other)}</a>`;
    });
    return html`<nav class="siblings" aria-label="${t("cell.siblings")}"><span class="meta">${t("cell.siblings")}</span> ${links}</nav>`;
  }

  /* ---- why and how ---- */

  function why(cell, record) {
    const message = record.message || cell.reason?.message;
    if (cell.outcome === "pass" || !message) return null;
    return html`<section><h2>${t("why")}</h2>
      <p class="why-message">${message}</p>
      ${record.hint ? html`<p><b>${t("hint")}</b> ${record.hint}</p>` : null}
      ${shared(cell)}</section>`;
  }

  function shared(cell) {
    if (!cell.reason) return null;
    const others = Cells.sharing(cell.reason).length;
    const query = Query.term("why", cell.reason.signature || cell.reason.message);
    const signature = cell.reason.signature ? html` · ${t("signature")} <code>${cell.reason.signature}</code>` : null;
    const text = counted("cell.shared", others);
    return html`<p class="meta">${others > 1 ? html`<a href="${Parts.filterHref(query)}">${text}</a>` : text}${signature}</p>`;
  }

  function reproduce(record) {
    if (!record.reproduce) return null;
    return html`<section><h2>${t("reproduce")}</h2><div class="command"><pre tabindex="0"><code id="command">${record.reproduce}</code></pre>
      <button type="button" data-action="copy" data-from="command">${t("copy")}</button></div></section>`;
  }

  /* ---- numbers and costs ---- */

  function numbers(record) {
    if (!record.cases.length) return null;
    return html`<section><h2>${t("numbers")}</h2><p class="lead">${t("numbers.lead")}</p>
      ${Numbers.picture(Numbers.entries(record))}${Numbers.table(record)}</section>`;
  }

  /** Of a language model in its served form; records of older versions have none. */
  function generation({ generation: prompts }) {
    if (!prompts?.length) return null;
    return html`<section><h2>${t("generation")}</h2><p class="lead">${t("generation.lead")}</p><table class="list generation"><thead><tr>
      <th scope="col">${t("generation.prompt")}</th><th scope="col" class="numeric">${t("generation.tokens")}</th>
      <th scope="col">${t("generation.verdict")}</th><th scope="col" class="numeric">${t("generation.scores")}</th></tr></thead>
      <tbody>${prompts.map(prompt)}</tbody></table></section>`;
  }

  function prompt(one) {
    const number = (value) => (typeof value === "number" ? scientific(value) : t("numbers.infinite"));
    const same = one.row === null;
    const verdict = same ? "equal" : one.tie ? "tie" : "other";
    const values = { ...one, step: one.step + 1, gap: number(one.gap), limit: number(one.allowed_gap) };
    return html`<tr><th scope="row"><span class="id">${one.name}</span></th><td class="numeric">${integer(one.rows * one.tokens)}</td>
      <td>${t(`generation.${verdict}`)}${same ? null : html`: ${t("generation.where", values)}`}</td>
      <td class="numeric">${number(one.max_abs)}</td></tr>`;
  }

  function costs(record) {
    if (!record.stages.length) return null;
    const longest = Math.max(...record.stages.map((stage) => stage.seconds), 1e-9);
    const largest = Math.max(...record.stages.map((stage) => stage.peak_rss_bytes), 1);
    return html`<section><h2>${t("costs")}</h2><table class="list costs">
      <thead><tr><th scope="col">${t("stage")}</th><th scope="col">${t("seconds.wall")}</th><th scope="col">${t("memory")}</th></tr></thead>
      <tbody>${record.stages.map((stage) => cost(stage, longest, largest))}</tbody></table></section>`;
  }

  function cost(stage, longest, largest) {
    return html`<tr><th scope="row">${t(`stage.${stage.name}`)}</th>
      <td>${bar(stage.seconds / longest, "time")}<span>${seconds(stage.seconds)} <small>${t("seconds.cpu", { n: seconds(stage.cpu_seconds) })}</small></span></td>
      <td>${bar(stage.peak_rss_bytes / largest, "memory")}<span>${bytes(stage.peak_rss_bytes)}</span></td></tr>`;
  }

  const bar = (part, kind) => html`<div class="track" aria-hidden="true"><div class="fill ${kind}" data-width="${100 * part}"></div></div>`;

  /* ---- the rest ---- */

  function block(heading, body) {
    return html`<section><h2>${t(heading)}</h2>${body}</section>`;
  }

  function placement({ placement: found, route, attempts }) {
    if (!found && !route?.length) return null;
    const place = found ?? {};
    const detail = Object.entries(place.detail ?? {}).map(([name, count]) => [html`<span class="id">${name}</span>`, integer(count)]);
    return block("placement", Parts.facts([
      [t("placement.target"), numberOr(place.target_ops)],
      [t("placement.other"), numberOr(place.other_ops)],
      ...(typeof share(place) === "number" ? [[t("placement.arithmetic"), `${(100 * share(place)).toFixed(1)} %`]] : []),
      [t("placement.device"), place.device],
      ...detail,
      [t("route"), route?.join(" → ")],
      ...(attempts ?? []).map((attempt) => [t("attempt"), attempt]),
    ]));
  }

  /** All of the arithmetic where no operator ran elsewhere. */
  const share = (place) => (place.target_ops && place.other_ops === 0 ? place.arithmetic ?? 1 : place.arithmetic);

  const numberOr = (value) => (value === null || value === undefined ? t("placement.unknown") : integer(value));

  function axes(record) {
    const pairs = Object.entries(record.axes);
    if (!pairs.length) return null;
    return block("axes", Parts.facts(pairs.map(([name, state]) => [html`<span class="id">${name}</span>`, axisWord(state)])));
  }

  function axisWord(state) {
    return Core.known(`axis.${state}`) ? t(`axis.${state}`) : state;
  }

  function notes(record) {
    if (!record.notes.length) return null;
    return block("notes", html`<ul>${record.notes.map((note) => html`<li>${note}</li>`)}</ul>`);
  }

  function environment(record) {
    const pairs = Object.entries(record.environment);
    if (!pairs.length) return null;
    return block("environment", Parts.facts(pairs.sort(([a], [b]) => (a < b ? -1 : 1))));
  }

  function log(record) {
    if (!record.log_tail) return null;
    return html`<section><h2>${t("log")}</h2><pre class="log" tabindex="0">${record.log_tail}</pre></section>`;
  }

  function raw(record) {
    return html`<details class="raw"><summary>${t("record")}</summary>
      <pre tabindex="0"><code id="record">${JSON.stringify(record, null, 1)}</code></pre>
      <button type="button" data-action="copy" data-from="record">${t("copy")}</button></details>`;
  }

  return { title, render };
})();
