/* The front page: what passed on which evidence, what changed, what to mend first, a bar for every target and family, what stops models. */
"use strict";

const Overview = (() => {
  const { html, t, counted, integer, when } = Core;

  const STOPPED = ["degraded", "mismatch", "fail", "unsupported"];

  function title() {
    return t("nav.overview");
  }

  function render() {
    return html`
      <h1>${counted("models", Cells.models.length)} × ${counted("targets", Cells.targets.length)}</h1>
      ${DATA.generated ? html`<p class="lead">${when(DATA.generated)}</p>` : null}
      ${missing()}
      <section><h2>${t("overview.tiers")}</h2><p class="lead">${t("overview.tiers.lead")}</p>${tiers()}</section>
      <div class="panels">${ChangesPage.brief()}${UnlockPage.brief()}</div>
      <section><h2>${t("overview.targets")}</h2>${Parts.legend()}${targetTable()}</section>
      ${familyList()}
      ${reasons("overview.reasons", STOPPED)}
      ${reasons("overview.absent", ["unavailable", "invalid", "skipped"])}
    `;
  }

  function missing() {
    const count = Cells.all.filter(({ outcome }) => outcome === "missing").length;
    if (!count) return null;
    return html`<p class="notice">${Parts.mark({ outcome: "missing" })}
      <a href="${Parts.filterHref("is:missing")}">${counted("overview.missing", count)}</a></p>`;
  }

  /* ---- a card for every kind of evidence that some target has ---- */

  function tiers() {
    const planned = DATA.evidences.filter((evidence) => Cells.targets.some((target) => target.evidence === evidence));
    const absent = DATA.evidences.filter((evidence) => !planned.includes(evidence)).map((evidence) => t(`evidence.${evidence}`));
    return html`<div class="tiers">${planned.map(tier)}</div>
      ${absent.length ? html`<p class="meta">${t("overview.tiers.absent", { names: absent.join(", ") })}</p>` : null}`;
  }

  function tier(evidence) {
    const cells = Cells.all.filter(({ target }) => target.evidence === evidence);
    const passed = Cells.all.filter((cell) => cell.outcome === "pass" && cell.evidence === evidence).length;
    return html`<article class="tier">
      <h3>${Parts.mark({ outcome: "pass", evidence })} ${t(`evidence.${evidence}`)}</h3>
      <p class="meta">${t(`rests.${evidence}`)}</p>
      <p class="number"><a href="${Parts.filterHref("is:pass", `ev:${evidence}`)}">${integer(passed)}</a>
        <small>${t(`passed.${evidence}`)}<br>${t("overview.of", { n: integer(cells.length) })}</small></p>
      ${Parts.stack(cells, `tier:${evidence}`)}
    </article>`;
  }

  /* ---- targets ---- */

  function targetTable() {
    return html`<table class="list bars">
      <thead><tr><th scope="col">${t("target")}</th><th scope="col">${t("evidence")}</th>
        <th scope="col">${t("outcome")}</th>${trends() ? html`<th scope="col">${t("trend.short")}</th>` : null}
        <th scope="col" class="numeric">${t("passes")}</th></tr></thead>
      <tbody>${Cells.targets.map(targetRow)}</tbody>
    </table>`;
  }

  function targetRow(target) {
    const cells = Cells.models.map((model) => model.cells[target.index]);
    return html`<tr>
      <th scope="row">${Parts.targetLink(target)}</th>
      <td>${t(`evidence.${target.evidence}`)}</td>
      <td class="wide">${Parts.stack(cells, Query.term("on", target.id))}</td>
      ${trends() ? html`<td class="trend">${Trends.spark(target)}</td>` : null}
      <td class="numeric">${passedOf(cells)}</td>
    </tr>`;
  }

  /* A line needs two days. */
  const trends = () => (Story.told?.days.length ?? 0) > 1;

  function passedOf(cells) {
    const groups = Parts.passes(cells);
    return html`${groups.length ? groups : "0"} <span class="meta">/ ${integer(cells.length)}</span>`;
  }

  /* ---- families ---- */

  const FAMILIES = 12; // are shown at once

  function familyList() {
    const found = Cells.families();
    if (found.length < 2) return null;
    const items = found.map(family);
    const rest = items.length - FAMILIES;
    return html`<section><h2>${t("overview.families")}</h2><p class="lead">${t("overview.families.lead")}</p>
      <ul class="families">${items.slice(0, FAMILIES)}</ul>
      ${rest > 0 ? html`<details><summary>${counted("overview.families.more", rest)}</summary><ul class="families">${items.slice(FAMILIES)}</ul></details>` : null}</section>`;
  }

  function family({ name, members }) {
    const term = name ? [Query.term("family", name)] : [];
    const heading = html`<span>${name || t("group.other")} <small>${counted("models", members.length)}</small></span>`;
    return html`<li>${name ? html`<a class="plain" href="${Parts.filterHref(...term)}">${heading}</a>` : heading}
      ${Parts.stack(members.flatMap(({ cells }) => cells), ...term)}</li>`;
  }

  /* ---- reasons ---- */

  const REASONS = 6; // are shown at once

  function reasons(heading, outcomes) {
    const groups = Cells.byReason(Cells.all.filter(({ outcome }) => outcomes.includes(outcome)));
    if (!groups.length) return null;
    return html`<section><h2>${t(heading)}</h2>${Parts.reasonList(groups, [], REASONS)}</section>`;
  }

  return { title, render };
})();
