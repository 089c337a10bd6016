/* Addresses within the report, and where the reader stands in the matrix. */
import { type Cell, type Model, data, grouped, models } from "./cells";

/** The route of the address: `#/page/id/id?name=value`. */
export interface Route {
  name: string;
  ids: string[];
  parameters: URLSearchParams;
}

/** What stands in the address; one that cannot be decoded leads to no page. */
export function route(): Route {
  const [path = "", parameters = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...ids] = path.split("/");
  try {
    return { name, ids: ids.map(decodeURIComponent), parameters: new URLSearchParams(parameters) };
  } catch {
    return { name: "?", ids: [], parameters: new URLSearchParams() };
  }
}

export const href = (page: string, ...ids: string[]): string => `#/${[page, ...ids.map(encodeURIComponent)].join("/")}`;
export const cellHref = ({ model, target }: Cell): string => href("cell", model.id, target.id);
export const filterHref = (...terms: string[]): string => `#/matrix?q=${encodeURIComponent(terms.join(" "))}`;

/* ---- the matrix: kept while other pages are shown ---- */

export const GROUPS = ["none", "family", "task", "modality", "house"] as const;
export type Grouping = (typeof GROUPS)[number];

export const matrix = {
  query: "",
  /** Chosen; null leaves it to `usual`. */
  group: null as Grouping | null,
  /** Groups that were opened or closed by hand. */
  open: new Map<string, boolean>(),
  scroll: 0,
  /** Where the focus goes when the matrix is next shown. */
  here: null as Cell | null,
};

/** The first that gathers enough models to be worth a heading. */
const usual: Grouping = data.models.length < 40 ? "none" : ((["family", "task", "modality"] as const).find(gathers) ?? "none");

function gathers(by: "family" | "task" | "modality"): boolean {
  return models.length >= 3 * grouped(models, (model: Model) => model[by]).size;
}

export const grouping = (): Grouping => matrix.group ?? usual;

export function readMatrix({ parameters }: Route): void {
  matrix.query = parameters.get("q") ?? "";
  matrix.group = GROUPS.find((name) => name === parameters.get("group")) ?? null;
}

export function matrixHref(): string {
  const parameters = new URLSearchParams();
  if (matrix.query) parameters.set("q", matrix.query);
  if (matrix.group) parameters.set("group", matrix.group);
  const text = parameters.toString().replace(/\+/g, "%20");
  return `#/matrix${text ? `?${text}` : ""}`;
}
