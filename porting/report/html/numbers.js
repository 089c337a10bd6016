/* How far outputs are from the truth, against what was allowed: as a picture on a logarithmic scale, and as a table. */
"use strict";

const Numbers = (() => {
  const { html, t, integer, digits, scientific, times } = Core;

  const METRICS = ["rel_norm", "row", "peak", "flips"];
  const LOW = -3; // the scale runs from a thousandth of what is allowed ...
  const HIGH = 2; // ... to a hundred times as much
  const ROWS = 12; // as many pictures are shown at once

  /* ---- shares of what is allowed ---- */

  function share(value, allowed) {
    if (value === null) return Infinity; // JSON has no number for what was not finite
    if (value === 0) return 0;
    return allowed === 0 ? Infinity : value / allowed;
  }

  /** The metrics that an output was judged by: {metric, value, allowed, ratio}. */
  function judged(output) {
    const shares = METRICS.filter((metric) => (output[`allowed_${metric}`] ?? null) !== null).map((metric) => {
      const allowed = output[`allowed_${metric}`];
      return { metric, value: output[metric], allowed, ratio: share(output[metric], allowed) };
    });
    if (!output.nonfinite) return shares;
    return [{ metric: "nonfinite", value: output.nonfinite, allowed: 0, ratio: Infinity }, ...shares];
  }

  /** One entry for every output of every case, the worst first. */
  function entries(record) {
    const all = record.cases.flatMap((one) => one.outputs.map((output) => entry(one.name, output)));
    return all.sort((a, b) => b.ratio - a.ratio);
  }

  function entry(name, output) {
    const metrics = judged(output);
    return { name, output, metrics, ratio: Math.max(...metrics.map(({ ratio }) => ratio), -1) };
  }

  /** The entry that lies nearest to, or furthest over, what was allowed; null where nothing was judged. */
  function worst(record) {
    const [first] = entries(record);
    return first && first.metrics.length ? first : null;
  }

  function binding({ metrics }) {
    return metrics.reduce((a, b) => (b.ratio > a.ratio ? b : a));
  }

  /* ---- picture ---- */

  /** Where a ratio stands on the scale, in percent; outside the scale it stands at its end. */
  function position(ratio) {
    const power = ratio > 0 ? Math.log10(ratio) : LOW;
    return (100 * (Math.min(HIGH, Math.max(LOW, power)) - LOW)) / (HIGH - LOW);
  }

  function word(ratio) {
    if (ratio === 0) return t("numbers.exact");
    return ratio === Infinity ? t("numbers.infinite") : times(ratio);
  }

  /** One line: a mark for every metric (for the binding one in a small place), the limit as a line, the worst share as a word. */
  function strip(one, small = false) {
    if (!one) return null;
    const marks = small ? [binding(one)] : one.metrics;
    const said = one.metrics.map(({ metric, ratio }) => `${t(`metric.${metric}`)} ${word(ratio)}`).join(", ");
    return html`<div class="strip ${one.ratio > 1 ? "over" : ""}" role="img" aria-label="${t("numbers.said", { shares: said })}" title="${said}">
      <div class="scale"><div class="beyond" data-left="${position(1)}"></div>${noise(one.output)}${marks.map(dot)}</div>
      <b>${word(one.ratio)}</b></div>`;
  }

  function dot({ metric, ratio }) {
    return html`<i class="dot m-${metric} ${ratio > 1 ? "over" : ""}" data-left="${position(ratio)}"></i>`;
  }

  function noise(output) {
    if (!output.noise_rel_norm || !output.allowed_rel_norm) return null;
    return html`<i class="noise" data-left="${position(output.noise_rel_norm / output.allowed_rel_norm)}"></i>`;
  }

  function axis() {
    const ticks = [0.001, 0.01, 0.1, 1, 10, 100];
    return html`<div class="strip axis" aria-hidden="true"><div class="scale">
      ${ticks.map((tick) => html`<span class="${tick === 1 ? "limit" : ""}" data-left="${position(tick)}">${tick}×</span>`)}</div><b></b></div>`;
  }

  function picture(found) {
    const drawn = found.filter(({ metrics }) => metrics.length);
    if (!drawn.length) return null;
    const line = (one) => html`<div class="strip-row"><span>${one.name} <span class="id">${one.output.name}</span></span>${strip(one)}</div>`;
    const rest = drawn.slice(ROWS);
    return html`<div class="picture">${drawn.slice(0, ROWS).map(line)}
      ${rest.length ? html`<details><summary>${t("numbers.rest", { n: integer(rest.length) })}</summary>${rest.map(line)}</details>` : null}
      <div class="strip-row"><span></span>${axis()}</div>${key(drawn)}</div>`;
  }

  /** What the marks are; only those that occur. */
  function key(drawn) {
    const metrics = new Set(drawn.flatMap((one) => one.metrics.map(({ metric }) => metric)));
    const items = [...metrics].map((metric) => html`<span><i class="dot m-${metric}"></i> ${t(`metric.${metric}`)}</span>`);
    const hasNoise = drawn.some(({ output }) => output.noise_rel_norm);
    return html`<p class="key">${items}${hasNoise ? html`<span><i class="noise"></i> ${t("numbers.noise")}</span>` : null}
      <span><i class="beyond"></i> ${t("numbers.beyond")}</span></p>`;
  }

  /* ---- table ---- */

  const COLUMNS = ["rel_norm", "row", "peak"];

  function table(record) {
    const rows = record.cases.flatMap((one) => one.outputs.map((output) => tableRow(one.name, output)));
    const heads = [...COLUMNS.map((metric) => t(`metric.${metric}`)), t("metric.max_abs"), t("metric.cosine"), t("metric.sqnr_db")];
    return html`<div class="scroll" tabindex="0" role="region" aria-label="${t("numbers.table")}"><table class="list numbers"><thead><tr>
      <th scope="col">${t("case")}</th><th scope="col">${t("output")}</th>
      ${heads.map((head) => html`<th scope="col" class="numeric">${head}</th>`)}
      <th scope="col" class="numeric">${t("metric.flips")}</th><th scope="col" class="numeric">${t("metric.nonfinite")}</th>
      <th scope="col" class="numeric">${t("elements")}</th></tr></thead><tbody>${rows}</tbody></table></div>`;
  }

  function tableRow(name, output) {
    return html`<tr><td>${name}</td><th scope="row" class="id">${output.name}</th>
      ${COLUMNS.map((metric) => html`<td class="numeric">${limited(output[metric], output[`allowed_${metric}`])}</td>`)}
      <td class="numeric">${plain(output.max_abs, scientific)}</td>
      <td class="numeric">${plain(output.cosine, cosine)}</td>
      <td class="numeric">${sqnr(output)}</td>
      <td class="numeric">${limited(output.flips, output.allowed_flips, integer)}</td>
      <td class="numeric ${output.nonfinite ? "bad" : ""}">${integer(output.nonfinite)}</td>
      <td class="numeric">${integer(output.elements)}</td></tr>`;
  }

  const plain = (value, format) => (value === null || value === undefined ? "–" : format(value));

  /** Seven digits, cut and not rounded: a cosine below one must not read as one. */
  const cosine = (value) => (value === 1 ? "1" : (Math.trunc(value * 1e7) / 1e7).toFixed(7));

  function sqnr(output) {
    if (output.rel_norm === 0) return "∞";
    return plain(output.sqnr_db, (value) => `${digits(value)} dB`);
  }

  /** A value and what was allowed for it. */
  function limited(value, allowed, format = scientific) {
    if (allowed === null || allowed === undefined) return plain(value, format);
    const over = share(value, allowed) > 1;
    const shown = value === null ? t("numbers.infinite") : format(value);
    return html`<span class="${over ? "bad" : ""}">${shown}</span> <small>/ ${format(allowed)}</small>`;
  }

  return { entries, worst, binding, strip, picture, table, word };
})();
