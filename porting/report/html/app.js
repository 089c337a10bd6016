/* Router, header, footer, and the events of the whole page. */
"use strict";

const App = (() => {
  const { html, put, settings, remember, t, when } = Core;

  const PAGES = { "": Overview, matrix: Matrix, model: ModelPage, target: TargetPage, cell: CellPage, changes: ChangesPage, unlock: UnlockPage };

  let current = { page: null, ids: [] };
  let turn = 0; // a page that was slow to load must not replace a later one

  /* ---- address ---- */

  /** Read `#/page/id/id?name=value`; an address that cannot be decoded leads to no page. */
  function route() {
    const [path, parameters = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const [name, ...ids] = path.split("/");
    try {
      return { name, page: PAGES[name], ids: ids.map(decodeURIComponent), parameters: new URLSearchParams(parameters) };
    } catch {
      return { name, page: undefined, ids: [], parameters: new URLSearchParams() };
    }
  }

  function notFound() {
    return html`<h1>${t("absent")}</h1><p><a href="#/">${t("nav.overview")}</a> · <a href="#/matrix">${t("nav.matrix")}</a></p>`;
  }

  async function show() {
    const mine = ++turn;
    const { name, page, ids, parameters } = route();
    rememberPlace();
    const markup = page ? await page.render(ids, parameters) : notFound();
    if (mine !== turn) return;
    const main = document.getElementById("main");
    put(main, markup);
    main.dataset.page = name || "overview";
    document.title = page ? `${page.title(ids)} · ${DATA.title}` : DATA.title;
    frame(name);
    const moved = current.page !== null;
    current = { page: name, ids };
    if (moved) arrive(main);
    page?.ready?.();
  }

  function arrive(main) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }

  /** The matrix puts the focus back where the reader left it. */
  function rememberPlace() {
    const model = Cells.byModel.get(current.ids[0]);
    if (current.page === "cell" && model) Matrix.left(model.index, Cells.byTarget.get(current.ids[1])?.index ?? 0);
    if (current.page === "model" && model) Matrix.left(model.index, 0);
  }

  /* ---- around the page ---- */

  function frame(name) {
    document.documentElement.lang = settings.language === "zh" ? "zh-CN" : "en";
    document.documentElement.dataset.theme = settings.theme;
    document.querySelector(".skip").textContent = t("skip");
    put(document.getElementById("header"), header(name));
    put(document.getElementById("footer"), footer());
  }

  function header(name) {
    const link = (page, address) => {
      const here = name === page ? html`aria-current="page"` : null;
      return html`<a href="${address}" ${here}>${t(`nav.${page || "overview"}`)}</a>`;
    };
    return html`<a class="brand" href="#/">${DATA.title}</a>
      <nav aria-label="${t("nav")}">${link("", "#/")}${link("matrix", Matrix.address())}${
      Story.told ? html`${link("changes", "#/changes")}${link("unlock", "#/unlock")}` : null}</nav>
      <div class="settings">
        <button type="button" data-action="language">${t("language.other")}</button>
        <button type="button" data-action="theme">${t(settings.theme === "dark" ? "theme.light" : "theme.dark")}</button>
      </div>`;
  }

  function footer() {
    const versions = Object.entries(DATA.versions).map(([name, version]) => html`<span>${name} ${version}</span>`);
    return html`<p>${DATA.generated ? html`<span>${t("generated", { when: when(DATA.generated) })}</span>` : null}${versions}</p>
      <p><span>${t("footer.keys")}</span> <a href="table.html">${t("footer.plain")}</a></p>`;
  }

  /* ---- events ---- */

  const actions = {
    ...Matrix.actions,
    language: () => change("language", settings.language === "zh" ? "en" : "zh"),
    theme: () => change("theme", settings.theme === "dark" ? "light" : "dark"),
    copy: ({ from }, button) => copy(document.getElementById(from), button),
    skip: (_data, _link, event) => {
      event.preventDefault();
      document.getElementById("main").focus();
    },
  };

  async function change(name, value) {
    remember(name, value);
    current.page = null; // the reader stays where he is: no jump to the top
    await show();
    document.querySelector(`[data-action=${name}]`).focus();
  }

  async function copy(source, button) {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = t("copied");
    } catch {
      getSelection().selectAllChildren(source); // where a browser forbids the clipboard, the text is at least selected
      button.textContent = t("copy.selected");
    }
  }

  function onClick(event) {
    const button = event.target.closest("[data-action]");
    if (button) actions[button.dataset.action](button.dataset, button, event);
  }

  function onKey(event) {
    const typing = event.target.closest("input, select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !typing) toFilter(event);
    if (event.key === "Escape" && !typing && current.page !== "matrix") location.hash = Matrix.address();
  }

  function toFilter(event) {
    event.preventDefault();
    const input = document.getElementById("query");
    if (input) input.focus();
    else location.hash = Matrix.address();
  }

  function start() {
    document.addEventListener("click", onClick);
    document.addEventListener("keydown", onKey);
    window.addEventListener("hashchange", show);
    show();
  }

  return { start, notFound };
})();

App.start();
