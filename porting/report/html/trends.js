/* Charts, as inline SVG: passes over time, and errors against what is allowed. A line or bar is drawn as its evidence is: full,
 * dashed or dotted. */
"use strict";

const Trends = (() => {
  const { html, t, integer, percent, when, times } = Core;

  /* ---- passes over time ---- */

  /** A line for every kind of evidence that some day has passes on: the share of the known cells that passed. */
  function lines(days) {
    return DATA.evidences
      .map((evidence, index) => ({ evidence, shares: days.map(({ known, passes }) => (known ? passes[index] / known : 0)) }))
      .filter(({ shares }) => shares.some((share) => share > 0));
  }

  const moments = (days) => days.map(({ date }) => Date.parse(date));

  /** Places along a width, by time. */
  function along(days, left, width) {
    const [first, last] = [moments(days)[0], moments(days).at(-1)];
    return moments(days).map((at) => left + (last > first ? ((at - first) / (last - first)) * width : width));
  }

  const path = (xs, ys) => xs.map((x, n) => `${n ? "L" : "M"}${x.toFixed(1)} ${ys[n].toFixed(1)}`).join("");

  function said({ evidence, shares }, days) {
    const values = { from: percent(shares[0]), to: percent(shares.at(-1)), first: when(days[0].date), last: when(days.at(-1).date) };
    return t("trend.said", { ...values, evidence: t(`evidence.${evidence}`) });
  }

  /** A small line beside a target's name; nothing before a second day. */
  function spark(target) {
    const days = Story.days(target);
    if (days.length < 2) return null;
    const [width, height] = [120, 26];
    const xs = along(days, 3, width - 8);
    const found = lines(days);
    const drawn = found.map(({ evidence, shares }) => {
      const ys = shares.map((share) => 3 + (1 - share) * (height - 6));
      return html`<path class="line e-${evidence}" d="${path(xs, ys)}"/><circle class="end e-${evidence}" cx="${xs.at(-1)}" cy="${ys.at(-1)}" r="2.6"/>`;
    });
    const label = found.map((line) => said(line, days)).join("; ") || t("trend.none");
    return html`<svg class="spark" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}"><title>${label}</title>
      <path class="floor" d="M0 ${height - 3}H${width}"/>${drawn}</svg>`;
  }

  const [WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM] = [560, 190, 44, 16, 24, 24];

  /** The same, large, with its numbers as a table. */
  function history(target) {
    const days = Story.days(target);
    if (days.length < 2) return null;
    const xs = along(days, LEFT, WIDE - LEFT - RIGHT);
    const y = (share) => TOP + (1 - share) * (HIGH - TOP - BOTTOM);
    const found = lines(days);
    return html`<section><h2>${t("trend")}</h2><p class="lead">${t("trend.lead")}</p><figure class="chart">
      <svg viewBox="0 0 ${WIDE} ${HIGH}" role="img" aria-label="${found.map((line) => said(line, days)).join("; ") || t("trend.none")}">
        ${[0, 0.5, 1].map((share) => html`<path class="floor" d="M${LEFT} ${y(share)}H${WIDE - RIGHT}"/>
          <text class="tick" x="${LEFT - 8}" y="${y(share) + 4}" text-anchor="end">${percent(share)}</text>`)}
        ${dates(days, xs)}
        ${found.map((line) => trace(line, days, xs, y))}
      </svg></figure>${numbers(days)}</section>`;
  }

  function dates(days, xs) {
    const shown = xs.length > 2 ? [0, xs.length - 1] : xs.map((_, n) => n);
    const anchor = (n) => (n === 0 ? "start" : "end");
    return shown.map((n) => html`<text class="tick" x="${xs[n]}" y="${HIGH - 6}" text-anchor="${anchor(n)}">${when(days[n].date)}</text>`);
  }

  function trace({ evidence, shares }, days, xs, y) {
    const ys = shares.map(y);
    const points = xs.map((x, n) => html`<circle class="point e-${evidence}" cx="${x}" cy="${ys[n]}" r="3"><title>${
      t("trend.point", { when: when(days[n].date), share: percent(shares[n]), known: integer(days[n].known), evidence: t(`evidence.${evidence}`) })
    }</title></circle>`);
    return html`<path class="line e-${evidence}" d="${path(xs, ys)}"/>${points}
      <text class="name" x="${xs.at(-1)}" y="${ys.at(-1) - 9}" text-anchor="end">${percent(shares.at(-1))} ${t(`evidence.${evidence}`)}</text>`;
  }

  function numbers(days) {
    const kinds = DATA.evidences.filter((_, index) => days.some(({ passes }) => passes[index]));
    const row = ({ date, known, passes }) => html`<tr><th scope="row">${when(date)}</th>
      ${kinds.map((evidence) => html`<td class="numeric">${integer(passes[DATA.evidences.indexOf(evidence)])}</td>`)}<td class="numeric">${integer(known)}</td></tr>`;
    return html`<details class="as-table"><summary>${t("chart.table")}</summary><table class="list narrow"><thead><tr><th scope="col">${t("trend.day")}</th>
      ${kinds.map((evidence) => html`<th scope="col" class="numeric">${t("trend.passes", { evidence: t(`evidence.${evidence}`) })}</th>`)}
      <th scope="col" class="numeric">${t("trend.known")}</th></tr></thead><tbody>${days.map(row)}</tbody></table></details>`;
  }

  /* ---- errors against what is allowed ---- */

  const LIMIT = 30; // the last step that is allowed
  const LAST = 50; // and the last of all

  /** How many cells used up which share of what is allowed. terms: of the filter, besides. */
  function errors(cells, ...terms) {
    const judged = cells.filter(({ step }) => step !== null);
    if (judged.length < 2) return null;
    const counts = Array.from({ length: LAST + 1 }, (_, step) => judged.filter((cell) => cell.step === step).length);
    const over = judged.filter(({ step }) => step > LIMIT).length;
    const near = judged.filter(({ step, outcome }) => Cells.shareOf(step) > 0.4 && step <= LIMIT && outcome === "pass").length;
    const label = t("errors.said", { n: integer(judged.length), over: integer(over) });
    return html`<section><h2>${t("errors")}</h2><p class="lead">${t("errors.lead")}</p><figure class="chart">
      <svg viewBox="0 0 ${WIDE} ${HIGH}" role="img" aria-label="${label}">${bars(counts, judged.some(({ evidence }) => evidence === "virtual"))}</svg></figure>
      <p class="meta">${label} ${near ? html`<a href="${Parts.filterHref(...terms, "is:pass", "error:0.4")}">${t("errors.near", { n: integer(near) })}</a>` : null}</p></section>`;
  }

  /* On a stand-in: framed, not full. */
  function bars(counts, standIn) {
    const most = Math.max(...counts);
    const step = (WIDE - LEFT - 12) / (LAST + 1);
    const x = (n) => LEFT + n * step;
    const y = (count) => TOP + (1 - count / most) * (HIGH - TOP - BOTTOM);
    const base = y(0);
    const drawn = counts.map((count, n) => count ? html`<rect class="bar ${n > LIMIT ? "over" : ""} ${standIn ? "e-virtual" : ""}" x="${x(n) + 1}" y="${y(count)}" width="${step - 2}"
      height="${base - y(count)}" rx="1.5"><title>${t("errors.bar", { n: integer(count), share: times(Cells.shareOf(n)) })}</title></rect>` : null);
    const ticks = [0.001, 0.01, 0.1, 1, 10, 100].map((share, n) => html`<text class="tick ${share === 1 ? "limit" : ""}" x="${x(n * 10 + 1)}" y="${HIGH - 6}"
      text-anchor="middle">${share}×</text>`);
    return html`<rect class="forbidden" x="${x(LIMIT + 1)}" y="${TOP}" width="${WIDE - 12 - x(LIMIT + 1)}" height="${base - TOP}"/>
      <path class="floor" d="M${LEFT} ${base}H${WIDE - 12}"/><text class="tick" x="${LEFT - 8}" y="${TOP + 8}" text-anchor="end">${integer(most)}</text>
      ${drawn}<path class="border" d="M${x(LIMIT + 1)} ${TOP}V${base}"/>${ticks}`;
  }

  /* ---- latency and memory between targets ---- */

  const OF_TARGET = ["convert", "load", "run"];

  /** Only what one run measured on one machine, and of it only what passed: other numbers are no comparison. */
  function comparison(model, records) {
    const runs = new Map();
    model.cells.forEach((cell) => {
      const record = records[cell.target.index];
      if (record && Story.alone(record.run) && ["pass", "degraded"].includes(cell.outcome) && record.stages.length) {
        runs.set(record.run, [...(runs.get(record.run) ?? []), { cell, record }]);
      }
    });
    const groups = [...runs.values()].filter((group) => group.length > 1);
    if (!groups.length) return null;
    return compared(groups.reduce((a, b) => (b[0].record.started > a[0].record.started ? b : a)));
  }

  function compared(group) {
    const rows = group.map(({ cell, record }) => ({ cell, latency: record.perf?.median_seconds ?? null, memory: memory(record) }));
    const timed = rows.some(({ latency }) => latency !== null);
    const order = (a, b) => (timed ? (a.latency ?? Infinity) - (b.latency ?? Infinity) : a.memory - b.memory);
    const most = (key) => Math.max(...rows.map((row) => row[key] ?? 0), 1e-9);
    const bar = (value, key, text) => value === null ? html`<td><span class="meta">–</span></td>` : html`<td><div class="track" aria-hidden="true">
      <div class="fill ${key}" data-width="${(100 * value) / most(key)}"></div></div><span>${text}</span></td>`;
    const row = ({ cell, latency, memory: peak }) => html`<tr><th scope="row"><span class="labelled">${Parts.mark(cell)} ${Parts.targetLink(cell.target)}</span></th>
      ${timed ? bar(latency, "latency", latency === null ? "" : Core.seconds(latency)) : null}${bar(peak, "memory", Core.bytes(peak))}</tr>`;
    return html`<section><h2>${t("compare")}</h2><p class="lead">${t("compare.lead", { run: group[0].record.run, when: when(group[0].record.started) })}</p>
      <table class="list costs"><thead><tr><th scope="col">${t("target")}</th>${timed ? html`<th scope="col">${t("perf.median")}</th>` : null}
      <th scope="col">${t("memory")}</th></tr></thead><tbody>${rows.sort(order).map(row)}</tbody></table></section>`;
  }

  const memory = ({ stages }) => Math.max(0, ...stages.filter(({ name }) => OF_TARGET.includes(name)).map((stage) => stage.peak_rss_bytes));

  return { spark, history, errors, comparison };
})();
