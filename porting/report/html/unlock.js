/* What to mend first: the remedies that would turn most cells to passes. */
"use strict";

const UnlockPage = (() => {
  const { html, t, counted, integer } = Core;

  const SHOWN = 50;
  const title = () => t("unlock.title");

  function render() {
    if (!Story.told) return App.notFound();
    return html`<h1>${t("unlock.title")}</h1><p class="lead">${t("unlock.lead")}</p>${Story.remedies.length ? table(Story.remedies) : html`<p>${t("unlock.none")}</p>`}`;
  }

  function table(remedies) {
    const most = Math.max(...remedies.map(({ blocks }) => blocks));
    const rows = remedies.map((one, number) => row(one, number, most));
    const head = html`<thead><tr><th scope="col">${t("unlock.what")}</th><th scope="col">${t("unlock.blocks")}</th>
      <th scope="col" class="numeric">${t("unlock.models")}</th><th scope="col" class="numeric">${t("unlock.targets")}</th>
      <th scope="col">${t("unlock.rests")}</th><th scope="col">${t("unlock.smallest")}</th></tr></thead>`;
    const whole = (part) => html`<table class="list unlock">${head}<tbody>${part}</tbody></table>`;
    if (rows.length <= SHOWN) return whole(rows);
    return html`${whole(rows.slice(0, SHOWN))}<details><summary>${t("unlock.more", { n: integer(rows.length - SHOWN) })}</summary>${whole(rows.slice(SHOWN))}</details>`;
  }

  function row(one, number, most) {
    const { smallest } = one;
    return html`<tr><th scope="row">${name(one)}</th>
      <td class="amount"><div class="track" aria-hidden="true"><div class="fill all" data-width="${(100 * one.blocks) / most}"></div>
        <div class="fill" data-width="${(100 * one.turns) / most}"></div></div><span>${amount(one)}</span></td>
      <td class="numeric">${integer(one.models)} <span class="unit">${t("unlock.models")}</span></td>
      <td class="numeric">${integer(one.targets)} <span class="unit">${t("unlock.targets")}</span></td>
      <td class="rests">${rests(one)}</td>
      <td><a class="id" href="${Parts.href("cell", smallest.model.id, smallest.target.id)}">${smallest.model.id}</a>
        <span class="meta">${t("on")} ${smallest.target.id}</span></td></tr>`;
  }

  /** Blocked cells by what their records rest on, never as one sum. */
  function rests({ evidence, blocks }) {
    const counts = Object.entries(evidence);
    const none = blocks - counts.reduce((sum, [, count]) => sum + count, 0);
    const words = counts.map(([kind, count]) => `${integer(count)} ${t(`evidence.${kind}`)}`);
    return [...words, ...(none ? [t("unlock.untried", { n: integer(none) })] : [])].join(" · ");
  }

  const amount = ({ turns, blocks }) => t("unlock.amount", { turns: integer(turns), blocks: integer(blocks) });

  /** What it is, and whose. */
  function name({ kind, name: what, where }) {
    return html`<span class="meta">${t(`blocker.${kind.replaceAll(" ", "-")}`)}${where ? html` · ${where}` : null}</span><span class="what">${what}</span>`;
  }

  /** For the front page: the first few. */
  function brief() {
    if (!Story.remedies.length) return null;
    const item = (one) => html`<li><span class="count">${integer(one.turns)}</span><div>${name(one)}
      <p class="meta">${t("unlock.blocked", { cells: rests(one), models: counted("models", one.models), targets: counted("targets", one.targets) })}</p></div></li>`;
    return html`<section class="panel"><h2>${t("unlock.title")}</h2><p class="lead">${t("unlock.brief")}</p>
      <ol class="reasons single">${Story.remedies.slice(0, 5).map(item)}</ol><p><a href="#/unlock">${t("unlock.all")}</a></p></section>`;
  }

  return { title, render, brief };
})();
