/* The page of one model (its targets, best first) and the page of one target (its reasons and its models). */
"use strict";

const ModelPage = (() => {
  const { html, t, seconds, parameters } = Core;

  function title([id]) {
    return id;
  }

  async function render([id]) {
    const model = Cells.byModel.get(id);
    if (!model) return App.notFound();
    const records = await Details.load(model).catch(() => null);
    const cells = [...model.cells].sort((a, b) => Cells.rank(a) - Cells.rank(b));
    return html`
      <p class="crumbs"><a href="${Matrix.address()}">${t("nav.matrix")}</a></p>
      <h1 class="id">${model.id}</h1>
      ${facts(model)}
      ${Parts.counts(model.cells)}
      ${records ? null : html`<p class="notice">${t("details.absent")}</p>`}
      <table class="list"><thead><tr>
        <th scope="col">${t("outcome")}</th><th scope="col">${t("target")}</th><th scope="col">${t("model.worst")}</th>
        <th scope="col" class="numeric">${t("perf.median")}</th><th scope="col" class="numeric">${t("seconds")}</th><th scope="col">${t("why")}</th>
      </tr></thead><tbody>${cells.map((cell) => row(cell, records?.[cell.target.index]))}</tbody></table>
      ${records ? Trends.comparison(model, records) : null}
    `;
  }

  function facts(model) {
    return Parts.facts([
      [t("group.family"), model.family],
      [t("group.task"), model.task],
      [t("group.modality"), model.modality],
      [t("group.house"), model.house],
      [t("params"), model.params === null ? null : parameters(model.params)],
    ]);
  }

  function row(cell, record) {
    const link = Parts.href("cell", cell.model.id, cell.target.id);
    return html`<tr>
      <td><a class="plain" href="${link}" aria-label="${Parts.spoken(cell)}">${Parts.labelled(cell)}</a></td>
      <th scope="row"><a class="id" href="${link}">${cell.target.id}</a></th>
      <td class="picture-cell">${record ? Numbers.strip(Numbers.worst(record), true) : null}</td>
      <td class="numeric">${record?.perf ? seconds(record.perf.median_seconds) : null}</td>
      <td class="numeric">${record?.seconds ? seconds(record.seconds) : null}</td>
      <td class="reason">${why(cell)}</td>
    </tr>`;
  }

  function why(cell) {
    if (cell.outcome === "pass" || !cell.reason) return null;
    return html`<span class="meta">${Parts.place(cell)}</span> ${cell.reason.message}`;
  }

  return { title, render };
})();

const TargetPage = (() => {
  const { html, t } = Core;

  function title([id]) {
    return id;
  }

  function render([id]) {
    const target = Cells.byTarget.get(id);
    if (!target) return App.notFound();
    const cells = Cells.models.map((model) => model.cells[target.index]);
    const on = Query.term("on", target.id);
    const reasons = Cells.byReason(cells);
    return html`
      <p class="crumbs"><a href="${Matrix.address()}">${t("nav.matrix")}</a></p>
      <h1 class="id">${target.id}</h1>
      <p class="lead"><b>${t(`evidence.${target.evidence}`)}</b>: ${t(`rests.${target.evidence}`)}</p>
      ${target.available ? null : html`<p class="notice">${Parts.mark({ outcome: "unavailable" })} ${t("target.absent")} ${target.reason}</p>`}
      ${Parts.stack(cells, on)}
      ${Parts.counts(cells)}
      <div class="charts">${Trends.history(target)}${Trends.errors(cells, on)}</div>
      ${reasons.length ? html`<section><h2>${t("overview.reasons")}</h2>${Parts.reasonList(reasons, [on], 20)}</section>` : null}
      <section><h2>${t("target.models")}</h2><ul class="models">${cells.map(item)}</ul></section>
    `;
  }

  function item(cell) {
    return html`<li><a class="plain" href="${Parts.href("cell", cell.model.id, cell.target.id)}" title="${Parts.spoken(cell)}">
      ${Parts.mark(cell)} <span class="id">${cell.model.id}</span></a></li>`;
  }

  return { title, render };
})();
