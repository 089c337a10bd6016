/* The matrix: models by targets in sections, a filter, and a line that tells what the cell under the pointer or the focus is. */
"use strict";

const Matrix = (() => {
  const { html, put, t, counted, integer } = Core;

  const WORD_TARGETS = 16; // up to here a column may have room for words
  const OPEN_MODELS = 300; // that fit the filter: up to here every section is open at first
  const GROUPS = ["none", "family", "modality", "task", "house"];
  const EXAMPLES = ["qwen", "on:cuda", "is:fail,mismatch", "ev:hardware", "cause:unsupported_op", "stage:convert", "is:pass error:0.5", "changed:broken", "count(pass)>=3", "-is:pass"];

  const state = { query: "", group: null, open: new Map(), here: null, scroll: 0 };
  let drawn = []; // the sections as they stand on the page
  let order = []; // and their rows, for the arrow keys

  const title = () => t("nav.matrix");
  const words = () => Cells.targets.length <= WORD_TARGETS;

  /* ---- grouping ---- */

  /** Without a choice: families, if they gather enough models to be worth a heading. */
  function grouping() {
    if (state.group) return state.group;
    const families = new Set(Cells.models.map(({ family }) => family)).size;
    return Cells.models.length >= 40 && Cells.models.length >= 3 * families ? "family" : "none";
  }

  function sections(models) {
    const by = grouping();
    if (by === "none") return [{ name: null, models }];
    const groups = new Map();
    for (const model of models) {
      const name = model[by] || t("group.other");
      groups.set(name, [...(groups.get(name) ?? []), model]);
    }
    return [...groups].map(([name, members]) => ({ name, models: members }));
  }

  function isOpen({ name, models }, found) {
    if (name === null) return true;
    return state.open.get(name) ?? (found.models.length <= OPEN_MODELS || models.length === 1);
  }

  /* ---- the page ---- */

  function render(_ids, parameters) {
    state.query = parameters.get("q") ?? "";
    state.group = GROUPS.includes(parameters.get("group")) ? parameters.get("group") : null;
    return html`
      <h1>${t("nav.matrix")}</h1>
      ${toolbar()}
      <div id="chips">${chips()}</div>
      <div id="grid" class="grid" data-columns="${Cells.targets.length}"></div>
      <div id="peek" class="peek" hidden></div>
    `;
  }

  function toolbar() {
    return html`<form class="toolbar" role="search">
      <input id="query" type="search" value="${state.query}" placeholder="${t("filter.placeholder")}" aria-label="${t("filter")}"
        autocomplete="off" spellcheck="false">
      <label>${t("group")} <select id="group">${GROUPS.map(groupOption)}</select></label>
      <button type="button" data-action="fold" hidden></button>
      <output id="shown" for="query"></output>
      ${help()}
    </form>`;
  }

  function groupOption(name) {
    return html`<option value="${name}" ${name === grouping() ? html`selected` : null}>${t(`group.${name}`)}</option>`;
  }

  function help() {
    const examples = EXAMPLES.map((query) => html`<li><a href="${Parts.filterHref(query)}"><code>${query}</code></a> ${t(`example.${query}`)}</li>`);
    return html`<details class="help"><summary>${t("filter.help")}</summary>
      <p>${t("filter.rules")}</p><ul>${examples}</ul><p>${t("filter.keys")}</p></details>`;
  }

  function chips() {
    const outcomes = DATA.outcomes.filter((name) => Cells.all.some(({ outcome }) => outcome === name));
    const evidences = DATA.evidences.filter((name) => Cells.all.some(({ evidence }) => evidence === name));
    return html`
      <div class="chips"><span class="meta">${t("legend.outcome")}</span> ${outcomes.map(outcomeChip)}</div>
      <div class="chips"><span class="meta">${t("legend.evidence")}</span> ${evidences.map(evidenceChip)}</div>`;
  }

  const outcomeChip = (outcome) => chip("is", outcome, { outcome, evidence: "hardware" }, `outcome.${outcome}`, `means.${outcome}`);
  const evidenceChip = (evidence) => chip("ev", evidence, { outcome: "pass", evidence }, `evidence.${evidence}`, `rests.${evidence}`);

  /** Legend and filter in one. */
  function chip(key, value, cell, name, meaning) {
    const pressed = Query.has(state.query, key, value);
    return html`<button type="button" class="chip" title="${t(meaning)}" data-action="chip" data-key="${key}" data-value="${value}"
      aria-pressed="${pressed}">${Parts.mark(cell)} ${t(name)}</button>`;
  }

  /* ---- the grid ---- */

  function columns() {
    return html`<colgroup><col class="name">${Cells.targets.map(() => html`<col class="mark">`)}<col class="why"></colgroup>`;
  }

  function head() {
    return html`<table class="head" aria-hidden="true">${columns()}<thead><tr>
      <th class="name">${t("model")}</th>${Cells.targets.map(headCell)}<th class="why">${t("matrix.why")}</th>
    </tr></thead></table>`;
  }

  function headCell(target) {
    const [adapter, ...rest] = target.id.split(":");
    return html`<th class="${border(target)}"><a tabindex="-1" href="${Parts.href("target", target.id)}" title="${target.id}">
      <b>${adapter}</b><s>:</s><span>${rest.join(":")}</span><i>${t(`evidence.${target.evidence}`)}</i></a></th>`;
  }

  /** Where another kind of evidence begins, there is a line. */
  const border = ({ index, evidence }) => (index && Cells.targets[index - 1].evidence !== evidence ? "border" : "");

  function section(group, number, found) {
    const open = isOpen(group, found);
    const rows = open ? group.models.map((model) => row(model, found.hits)) : null;
    if (open) order.push(...group.models);
    return html`<section data-rows="${(open ? group.models.length : 0) + 1}"><table>${columns()}
      ${group.name === null ? null : groupRow(group, number, open, found.hits)}<tbody>${rows}</tbody></table></section>`;
  }

  function groupRow({ name, models }, number, open, hits) {
    const cells = Cells.targets.map(({ index }) => html`<td class="${border(Cells.targets[index])}">${open ? null : groupCell(models.map((model) => model.cells[index]), hits)}</td>`);
    return html`<tbody class="group"><tr><th scope="rowgroup">
      <button type="button" data-action="section" data-number="${number}" aria-expanded="${open}">${name}
        <small>${integer(models.length)}</small></button></th>${cells}<td class="why"></td></tr></tbody>`;
  }

  /** How many of a section pass on a target, or are what was asked for; kept apart by evidence; full colour only where all do. */
  function groupCell(cells, hits) {
    const chosen = cells.filter((cell) => (hits ? hits.has(cell) : cell.outcome === "pass"));
    const groups = Cells.tally(chosen).map((group) => {
      const { count } = group;
      const look = Parts.look(Parts.shown(group));
      const label = `${counted("models", count)}: ${Parts.spoken(group)}`;
      return html`<span class="cell ${look} ${count < cells.length ? "part" : ""}" title="${label}">${count}</span>`;
    });
    return html`<div class="split">${groups}</div>`;
  }

  function row(model, hits) {
    const cells = model.cells.map((cell) => html`<td class="${border(cell.target)}">${link(cell, hits)}</td>`);
    return html`<tr><th scope="row"><a class="id" tabindex="-1" href="${Parts.href("model", model.id)}" title="${model.id}">${model.id}</a></th>${cells}
      <td class="why">${reason(model)}</td></tr>`;
  }

  function link(cell, hits) {
    const dim = hits && !hits.has(cell) ? " dim" : "";
    const name = `${cell.model.id}, ${cell.target.id}: ${Parts.spoken(cell)}`;
    const text = words() ? html`${Parts.glyph(cell)}<span class="word">${Parts.word(cell)}</span>` : Parts.glyph(cell);
    return html`<a class="cell ${Parts.look(cell)}${dim}" tabindex="-1" href="${Parts.href("cell", cell.model.id, cell.target.id)}"
      data-model="${cell.model.index}" data-target="${cell.target.index}" aria-label="${name}">${text}</a>`;
  }

  function reason(model) {
    const [top] = Cells.byReason(model.cells.filter(({ outcome }) => outcome !== "unavailable"));
    return html`${Parts.passes(model.cells)} ${top ? top.reason.message : ""}`;
  }

  /* ---- room: words where they fit, else glyphs under level heads, else glyphs under turned heads ---- */

  const WORD = 106; // pixels that a word needs
  const HEAD = 88; // and a level head
  const NAME = 260; // and a name that may be cut
  const TURNED = 30;

  function fit() {
    const grid = document.getElementById("grid");
    if (!grid) return;
    const count = Cells.targets.length;
    const room = grid.clientWidth;
    const name = Math.min(340, 30 + 8.6 * Math.max(...Cells.models.map(({ id }) => id.length)));
    grid.dataset.lines = count * 29 > room ? "many" : "one"; // as the style sheet lays cells out on a phone
    const each = (room - Math.min(name, NAME)) / count;
    if (words() && each >= WORD) return lay(grid, "words", Math.min(name, room - WORD * count), WORD, 140);
    if (each >= HEAD) return lay(grid, "heads", Math.min(name, room - HEAD * count), HEAD, 90);
    return lay(grid, "turned", name, TURNED, TURNED);
  }

  /** Share the width out: columns up to `most` pixels, the reason in what is left if that is enough to read it. */
  function lay(grid, look, name, least, most) {
    const count = Cells.targets.length;
    const room = grid.clientWidth - name;
    const left = room - count * most;
    const why = look === "turned" ? Math.max(left, 250) : left >= 240 ? left : 0;
    const mark = why ? most : Math.max(least, room / count);
    grid.dataset.look = look;
    grid.dataset.why = why ? "shown" : "hidden";
    for (const [key, value] of Object.entries({ name, mark, why })) grid.style.setProperty(`--${key}`, `${value}px`);
  }

  /* ---- showing and changing it ---- */

  function ready() {
    const grid = document.getElementById("grid");
    fit();
    fill();
    document.getElementById("query").addEventListener("input", (event) => search(event.target.value));
    document.getElementById("group").addEventListener("change", (event) => regroup(event.target.value));
    document.querySelector(".toolbar").addEventListener("submit", (event) => event.preventDefault());
    grid.addEventListener("keydown", onKey);
    grid.addEventListener("focusin", (event) => peek(event.target.closest("a.cell")));
    grid.addEventListener("mouseover", (event) => peek(event.target.closest("a.cell")));
    grid.addEventListener("scroll", () => (state.scroll = grid.scrollTop), { passive: true });
    comeBack(grid);
  }

  function fill() {
    const found = Query.run(state.query);
    const groups = sections(found.models);
    drawn = groups;
    order = [];
    const body = found.models.length ? groups.map((group, number) => section(group, number, found)) : html`<p class="none">${t("matrix.none")}</p>`;
    put(document.getElementById("grid"), html`${head()}${body}`);
    document.getElementById("shown").textContent = shown(found);
    foldButton(groups, found);
    const first = at(state.here?.model, state.here?.target) ?? document.querySelector("#grid a.cell");
    if (first) first.tabIndex = 0;
  }

  function shown({ models, hits, unknown }) {
    const parts = [t("matrix.shown", { n: integer(models.length), all: integer(Cells.models.length) })];
    if (hits) parts.push(counted("cells", hits.size));
    if (unknown.length) parts.push(t("matrix.unknown", { terms: unknown.join(" ") }));
    return parts.join(" · ");
  }

  function foldButton(groups, found) {
    const button = document.querySelector("[data-action=fold]");
    const anyClosed = groups.some((group) => !isOpen(group, found));
    button.hidden = grouping() === "none";
    button.dataset.open = anyClosed;
    button.textContent = t(anyClosed ? "matrix.open" : "matrix.close");
  }

  function search(text) {
    state.query = text;
    state.open.clear();
    replaceAddress();
    put(document.getElementById("chips"), html`${chips()}`);
    fill();
  }

  function regroup(name) {
    state.group = name;
    state.open.clear();
    replaceAddress();
    fill();
  }

  function address() {
    const parameters = new URLSearchParams();
    if (state.query) parameters.set("q", state.query);
    if (state.group) parameters.set("group", state.group);
    const text = parameters.toString().replace(/\+/g, "%20");
    return `#/matrix${text ? `?${text}` : ""}`;
  }

  function replaceAddress() {
    history.replaceState(null, "", address());
  }

  const actions = {
    chip({ key, value }) {
      const input = document.getElementById("query");
      input.value = Query.toggle(state.query, key, value);
      search(input.value);
      document.querySelector(`.chip[data-key="${key}"][data-value="${value}"]`).focus();
    },
    section({ number }, button) {
      state.open.set(drawn[number].name, button.getAttribute("aria-expanded") !== "true");
      fill();
      document.querySelector(`[data-action=section][data-number="${number}"]`).focus();
    },
    fold({ open }) {
      for (const { name } of sections(Cells.models)) state.open.set(name, open === "true");
      fill();
    },
  };

  /* ---- keyboard: one cell is in the tab order, the arrow keys move from there ---- */

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] };

  function onKey(event) {
    const cell = event.target.closest("a.cell");
    const step = STEPS[event.key];
    if (!cell || !step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const place = order.indexOf(Cells.models[cell.dataset.model]) + step[0];
    const target = Math.min(Cells.targets.length - 1, Math.max(0, Number(cell.dataset.target) + step[1]));
    if (order[place]) focus(at(order[place].index, target));
  }

  function at(model, target) {
    if (model === undefined) return null;
    return document.querySelector(`#grid a.cell[data-model="${model}"][data-target="${target}"]`);
  }

  function focus(cell) {
    for (const old of document.querySelectorAll("#grid a.cell[tabindex='0']")) old.tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus({ preventScroll: true });
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Keep the place: who comes back from a cell finds it focused, and the list where it was. */
  function comeBack(grid) {
    grid.scrollTop = state.scroll;
    const cell = state.here && at(state.here.model, state.here.target);
    if (cell) focus(cell);
    state.here = null;
  }

  /** Told by the router where the reader was before. */
  function left(model, target) {
    state.here = { model, target };
  }

  /* ---- the line below ---- */

  function peek(link) {
    const line = document.getElementById("peek");
    line.hidden = !link;
    if (link) put(line, peekText(Cells.models[link.dataset.model].cells[link.dataset.target]));
  }

  function peekText(cell) {
    const why = cell.outcome !== "pass" && cell.reason ? html` <span class="meta">${Parts.place(cell)}</span> ${cell.reason.message}` : null;
    return html`${Parts.mark(cell)} <b>${Parts.spoken(cell)}</b> <span class="id">${cell.model.id}</span>
      <span class="meta">${t("on")}</span> <span class="id">${cell.target.id}</span>${why}`;
  }

  window.addEventListener("resize", fit);

  return { title, render, ready, actions, address, left };
})();
