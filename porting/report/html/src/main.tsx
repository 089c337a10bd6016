/* Router, header, footer, and the events of the whole page. */
import { type ComponentChildren, render } from "preact";
import { data, modelById, recordsOf, targetById } from "./cells";
import { CellPage } from "./cell";
import { ChangesPage } from "./changes";
import { MatrixPage } from "./matrix";
import { ModelPage } from "./model";
import { OverviewPage } from "./overview";
import { NotFound } from "./parts";
import { type Route, matrix, matrixHref, readMatrix, route } from "./place";
import { told } from "./story";
import { TargetPage } from "./target";
import { remember, settings, t, visible, when } from "./text";
import { UnlockPage } from "./unlock";

/* ---- pages ---- */

interface Shown {
  title: string | null;
  body: ComponentChildren;
}

const PAGES: Record<string, (route: Route) => Shown | null | Promise<Shown | null>> = {
  "": () => ({ title: t("nav.overview"), body: <OverviewPage /> }),
  matrix: (route) => {
    readMatrix(route);
    return { title: t("nav.matrix"), body: <MatrixPage /> };
  },
  model: async ({ ids: [id] }) => {
    const model = modelById.get(id!);
    return model ? { title: model.id, body: <ModelPage model={model} records={await recordsOf(model)} /> } : null;
  },
  target: ({ ids: [id] }) => {
    const target = targetById.get(id!);
    return target ? { title: target.id, body: <TargetPage target={target} /> } : null;
  },
  cell: async ({ ids: [modelId, targetId] }) => {
    const [model, target] = [modelById.get(modelId!), targetById.get(targetId!)];
    if (!model || !target) return null;
    const record = (await recordsOf(model))?.[target.index];
    return { title: `${model.id} · ${target.id}`, body: <CellPage cell={model.cells[target.index]!} record={record} /> };
  },
  changes: () => ({ title: t("changes.title"), body: <ChangesPage /> }),
  unlock: () => ({ title: t("unlock.title"), body: <UnlockPage /> }),
};

let current: Route | null = null;
let turn = 0; // a page that was slow to load must not replace a later one

/** Show what the address asks for. again: it is there already, and only looks different now. */
async function show({ again = false } = {}): Promise<void> {
  const mine = ++turn;
  const next = route();
  next.ids = next.ids.map(visible);
  const { title, body } = (await PAGES[next.name]?.(next)) ?? { title: null, body: <NotFound /> };
  if (mine !== turn) return;
  const moved = current !== null && !again;
  if (moved) leave(current!);
  current = next;
  document.title = title ? `${title} · ${data.title}` : data.title;
  document.documentElement.lang = settings.language === "zh" ? "zh-CN" : "en";
  document.documentElement.dataset.theme = settings.theme;
  render(<Frame name={next.name} page={<Page key={`${mine}`}>{body}</Page>} />, document.body);
}

const Page = ({ children }: { children: ComponentChildren }) => <>{children}</>;

/** To the top; the matrix puts the focus back where the reader left it. */
function leave({ name, ids }: Route): void {
  const model = ["cell", "model"].includes(name) ? modelById.get(ids[0]!) : undefined;
  matrix.here = model?.cells[targetById.get(ids[1]!)?.index ?? 0] ?? null;
  window.scrollTo(0, 0);
  document.getElementById("main")?.focus({ preventScroll: true });
}

/* ---- around the page ---- */

function Frame({ name, page }: { name: string; page: ComponentChildren }) {
  return <>
    <a class="skip" href="#main" data-action="skip">{t("skip")}</a>
    <header id="header"><Header name={name} /></header>
    <main id="main" tabIndex={-1} data-page={name || "overview"}>{page}</main>
    <footer id="footer"><Footer /></footer>
  </>;
}

function Header({ name }: { name: string }) {
  const link = (page: string, address: string) => <a href={address} aria-current={name === page ? "page" : undefined}>{t(`nav.${page || "overview"}`)}</a>;
  return <>
    <a class="brand" href="#/">{data.title}</a>{" "}
    <nav aria-label={t("nav")}>{link("", "#/")}{link("matrix", matrixHref())}{told ? <>{link("changes", "#/changes")}{link("unlock", "#/unlock")}</> : null}</nav>
    <div class="settings">
      <button type="button" data-action="language">{t("language.other")}</button>{" "}
      <button type="button" data-action="theme">{t(settings.theme === "dark" ? "theme.light" : "theme.dark")}</button>
    </div>
  </>;
}

function Footer() {
  const versions = Object.entries(data.versions).map(([name, version]) => <span>{name} {version}</span>);
  return <>
    <p>{data.generated ? <span>{t("generated", { when: when(data.generated) })}</span> : null}{versions}</p>
    <p><span>{t("footer.keys")}</span> <a href="table.html">{t("footer.plain")}</a></p>
  </>;
}

/* ---- events ---- */

const actions: Record<string, (button: HTMLElement, event: Event) => void> = {
  language: () => change("language", settings.language === "zh" ? "en" : "zh"),
  theme: () => change("theme", settings.theme === "dark" ? "light" : "dark"),
  copy: (button) => copy(document.getElementById(button.dataset.from!)!, button),
  skip: (_button, event) => {
    event.preventDefault();
    document.getElementById("main")!.focus();
  },
};

function change(name: keyof typeof settings, value: string): void {
  remember(name, value);
  matrix.here = null; // the focus stays on the button
  show({ again: true });
}

async function copy(source: HTMLElement, button: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(source.textContent ?? "");
    button.textContent = t("copied");
  } catch {
    getSelection()!.selectAllChildren(source); // where a browser forbids the clipboard, the text is at least selected
    button.textContent = t("copy.selected");
  }
}

function onClick(event: Event): void {
  const button = (event.target as Element).closest<HTMLElement>("[data-action]");
  if (button) actions[button.dataset.action!]?.(button, event);
}

function onKey(event: KeyboardEvent): void {
  const typing = (event.target as Element).closest("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
  if (event.key === "/") toFilter(event);
  if (event.key === "Escape" && current?.name !== "matrix") location.hash = matrixHref();
}

function toFilter(event: Event): void {
  event.preventDefault();
  const input = document.getElementById("query");
  if (input) input.focus();
  else location.hash = matrixHref();
}

document.addEventListener("click", onClick);
document.addEventListener("keydown", onKey);
addEventListener("hashchange", () => show());
show();
