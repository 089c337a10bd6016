/* What changed since before: in short for the front page, and whole on a page of its own. */
"use strict";

const ChangesPage = (() => {
  const { html, t, counted, integer, when, seconds, bytes, percent } = Core;

  const SHOWN = 40; // of a kind, before the rest is folded

  const title = () => t("changes.title");

  function render() {
    if (!Story.told) return App.notFound();
    return html`<h1>${t("changes.title")}</h1>${lead()}${moved()}${Story.kinds().map(section)}`;
  }

  /** Since when, and what is new. */
  function lead() {
    const { since, known, new: fresh } = Story.told;
    if (!known) return html`<p class="lead">${t("changes.first")}</p>`;
    const text = t(Story.changes.length ? "changes.since" : "changes.none", { when: when(since), n: integer(known) });
    return html`<p class="lead">${text} ${fresh ? counted("changes.new", fresh) : null}</p>`;
  }

  function moved() {
    const pairs = Object.entries(Story.told.moved);
    if (!pairs.length) return null;
    return html`<section><h2>${t("changes.moved")}</h2><ul class="versions">${pairs.map(([name, [from, to]]) =>
      html`<li><span class="id">${name}</span> ${from} → <b>${to}</b></li>`)}</ul></section>`;
  }

  function section({ kind, members }) {
    const rows = members.map(row);
    const link = Parts.filterHref(`changed:${kind}`);
    return html`<section><h2>${t(`change.${kind}`)} <a class="count-link" href="${link}" aria-label="${counted("changes.show", members.length)}">${integer(members.length)}</a></h2>
      <p class="meta">${t(`change.${kind}.means`)}</p><ul class="changes">${rows.slice(0, SHOWN)}</ul>
      ${rows.length > SHOWN ? html`<details><summary>${t("changes.more", { n: integer(rows.length - SHOWN) })}</summary><ul class="changes">${rows.slice(SHOWN)}</ul></details>` : null}</section>`;
  }

  /** What it was, what it is, where, and for a number from what to what. */
  function row(change) {
    const { cell, was } = change;
    const said = `${was ? Parts.spoken(was) : t("outcome.missing")} → ${Parts.spoken(cell)}`;
    const why = detail(change);
    return html`<li><span class="turn" role="img" aria-label="${said}" title="${said}">${Parts.mark(was ?? { outcome: "missing" })}<span aria-hidden="true">→</span>${Parts.mark(cell)}</span>
      <div><a class="id" href="${Parts.href("cell", cell.model.id, cell.target.id)}">${cell.model.id}</a> <span class="meta">${t("on")}</span> <span class="id">${cell.target.id}</span>
      ${why ? html`<p class="meta">${why}</p>` : null}</div></li>`;
  }

  const FORMATS = { drift: percent, slower: seconds, faster: seconds, "more-memory": bytes, "less-memory": bytes };

  function detail({ kind, before, after, cell }) {
    const format = FORMATS[kind];
    if (format && before !== null && after !== null) return `${format(before)} → ${format(after)}`;
    return cell.outcome !== "pass" && cell.reason ? cell.reason.message : "";
  }

  /** For the front page: a line for every kind, and the first cells of what broke. */
  function brief() {
    if (!Story.told) return null;
    const kinds = Story.kinds();
    const line = ({ kind, members }) => html`<li><a class="count" href="${Parts.filterHref(`changed:${kind}`)}"
      aria-label="${t(`change.${kind}`)}: ${counted("cells", members.length)}">${integer(members.length)}</a> ${t(`change.${kind}`)}</li>`;
    if (!kinds.length) return html`<div class="panel quiet"><h2>${t("changes.title")}</h2>${lead()}</div>`;
    const broken = kinds.find(({ kind }) => kind === "broken");
    return html`<section class="panel"><h2>${t("changes.title")}</h2>${lead()}
      <ul class="tallies">${kinds.map(line)}</ul>
      ${broken ? html`<ul class="changes">${broken.members.slice(0, 3).map(row)}</ul>` : null}
      <p><a href="#/changes">${t("changes.all")}</a></p></section>`;
  }

  return { title, render, brief };
})();
