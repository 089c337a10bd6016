/* Pieces that several pages show: the mark of a cell, legend, stacked bar, reasons, facts. Markup only, no events. */
"use strict";

const Parts = (() => {
  const { html, t, counted, integer } = Core;

  const GLYPHS = {
    pass: "✓",
    degraded: "◐",
    mismatch: "≠",
    fail: "✗",
    unsupported: "⊘",
    unavailable: "–",
    invalid: "?",
    skipped: "↷",
    missing: "!",
  };

  /* A pass without the target behind it has a letter, so that it cannot be read as a tick. */
  const LETTERS = { virtual: "v", compiled: "c", static: "l" };

  const VERDICTS = ["pass", "degraded", "mismatch", "fail", "unsupported"];

  /* ---- one cell ---- */

  function glyph({ outcome, evidence }) {
    return (outcome === "pass" && LETTERS[evidence]) || GLYPHS[outcome];
  }

  /** The short word of a cell: a pass is named by what it rests on. */
  function word({ outcome, evidence }) {
    return outcome === "pass" && evidence ? t(`evidence.${evidence}`) : t(`outcome.${outcome}`);
  }

  /** Outcome is a colour, evidence a fill. What is no verdict has no evidence to show. */
  function look({ outcome, evidence }) {
    return VERDICTS.includes(outcome) && evidence ? `o-${outcome} e-${evidence}` : `o-${outcome}`;
  }

  /** Outcome and evidence in words, for people who do not see the mark. */
  function spoken({ outcome, evidence }) {
    const name = t(`outcome.${outcome}`);
    return evidence ? `${name}, ${t(`evidence.${evidence}`)}` : name;
  }

  function mark(cell) {
    return html`<span class="cell ${look(cell)}" aria-hidden="true">${glyph(cell)}</span>`;
  }

  function labelled(cell) {
    return html`<span class="labelled">${mark(cell)} <span>${word(cell)}</span></span>`;
  }

  /* ---- links ---- */

  const encoded = new Map(); // a matrix asks for the same ids again and again

  function encode(id) {
    if (!encoded.has(id)) encoded.set(id, encodeURIComponent(id));
    return encoded.get(id);
  }

  function href(page, ...ids) {
    return `#/${[page, ...ids.map(encode)].join("/")}`;
  }

  function filterHref(...terms) {
    return `#/matrix?q=${encodeURIComponent(terms.join(" "))}`;
  }

  const modelLink = (model) => html`<a class="id" href="${href("model", model.id)}">${model.id}</a>`;
  const targetLink = (target) => html`<a class="id" href="${href("target", target.id)}">${target.id}</a>`;

  /* ---- legend ---- */

  function legend() {
    const outcomes = DATA.outcomes.map((outcome) => entry({ outcome, evidence: "hardware" }, `outcome.${outcome}`, `means.${outcome}`));
    const kinds = DATA.evidences.map((evidence) => entry({ outcome: "pass", evidence }, `evidence.${evidence}`, `rests.${evidence}`));
    return html`<div class="legend">
      <dl><dt>${t("legend.outcome")}</dt>${outcomes}</dl>
      <dl><dt>${t("legend.evidence")}</dt>${kinds}</dl>
    </div>`;
  }

  function entry(cell, name, meaning) {
    return html`<dd title="${t(meaning)}">${mark(cell)} ${t(name)}</dd>`;
  }

  /* ---- counts ---- */

  /** A bar with a part for every outcome and kind of evidence; each leads to its cells. terms: of the filter, besides. */
  function stack(cells, ...terms) {
    const parts = Cells.tally(cells).map((group) => segment(group, terms));
    return html`<div class="stack">${parts}</div>`;
  }

  function segment(group, terms) {
    const query = [...terms, `is:${group.outcome}`, ...(group.evidence ? [`ev:${group.evidence}`] : [])];
    const label = `${integer(group.count)} ${spoken(group)}`;
    return html`<a class="cell ${look(shown(group))} digits-${String(group.count).length}" data-grow="${group.count}" href="${filterHref(...query)}"
      title="${label}" aria-label="${label}"><span>${group.count}</span></a>`;
  }

  /* Verdicts that claim nothing are counted over all evidence: the fill is plain where it differs. */
  const shown = ({ outcome, shared }) => ({ outcome, evidence: shared ?? "hardware" });

  /** Counts in words, passes by evidence: never a sum over kinds. */
  function counts(cells) {
    const groups = Cells.tally(cells).map((group) => {
      return html`<li>${mark(shown(group))} <b>${integer(group.count)}</b> ${word(group)}</li>`;
    });
    return html`<ul class="counts">${groups}</ul>`;
  }

  /** What passed, kept apart by evidence: `✓10 v2`. */
  function passes(cells) {
    const groups = Cells.tally(cells).filter(({ outcome }) => outcome === "pass");
    return groups.map((group) => html`<span class="passes" title="${spoken(group)}">${mark(group)}${integer(group.count)}</span>`);
  }

  /* ---- reasons ---- */

  /** Reasons as a list, each with a bar for the cells it holds. terms: of the filter, besides. */
  function reasonList(groups, terms = [], limit = 12) {
    const most = Math.max(...groups.map(({ cells }) => cells.length));
    const items = groups.map((group) => reasonItem(group, most, terms));
    if (items.length <= limit) return html`<ol class="reasons">${items}</ol>`;
    return html`<ol class="reasons">${items.slice(0, limit)}</ol>
      <details><summary>${counted("reasons.more", items.length - limit)}</summary><ol class="reasons">${items.slice(limit)}</ol></details>`;
  }

  function reasonItem(group, most, terms) {
    const { reason, outcome, cells } = group;
    const models = new Set(cells.map(({ model }) => model)).size;
    const query = [...terms, `is:${outcome}`, Query.term("why", reason.signature || reason.message)];
    return html`<li>
      <a class="count" href="${filterHref(...query)}" aria-label="${counted("cells", cells.length)}">${integer(cells.length)}</a>
      <div>
        <p class="message">${reason.message || t("why.none")}</p>
        <p class="meta">${labelled({ outcome, evidence: "hardware" })} · ${place(group)} · ${counted("models", models)}</p>
        <div class="track" aria-hidden="true"><div class="fill o-${outcome}" data-width="${(100 * cells.length) / most}"></div></div>
      </div>
    </li>`;
  }

  /** Stage and cause in words. */
  function place({ stage, cause }) {
    const where = t(`stage.${stage}`);
    return cause ? `${where} · ${t(`cause.${cause}`)}` : where;
  }

  /* ---- facts ---- */

  /** Pairs of name and value; those without a value are left out. */
  function facts(pairs) {
    const present = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
    return html`<dl class="facts">${present.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
  }

  return {
    glyph, word, look, spoken, mark, labelled, href, filterHref, modelLink, targetLink,
    shown, legend, stack, counts, passes, reasonList, place, facts, VERDICTS,
  };
})();
