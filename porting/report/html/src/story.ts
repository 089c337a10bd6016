/* What the report tells beside the present state, as objects: what changed since before, days, remedies. */
import { type Cell, type Marked, type Target, cellAt, data, grouped } from "./cells";
import type { RemedyData } from "./types";

export const told = data.story;

export interface Change {
  kind: string;
  cell: Cell;
  was: Marked | null;
  before: number | null;
  after: number | null;
}

/* Kinds in the order of the report: from the most urgent to the best. */
export const changes: Change[] = (told?.changes ?? []).map(([kind, model, target, was, before, after]) => {
  return { kind: kind.replaceAll(" ", "-"), cell: cellAt(model, target), was: was && { outcome: was[0], evidence: was[1] }, before, after };
});

const byCell = grouped(changes, ({ cell }) => cell);

export const changesOf = (cell: Cell): Change[] => byCell.get(cell) ?? [];

/** Changes by kind, in order. */
export const kinds = [...grouped(changes, ({ kind }) => kind)].map(([kind, members]) => ({ kind, members }));

export interface Day {
  date: string;
  known: number;
  /** By evidence. */
  passes: number[];
}

/** A target day by day. */
export function daysOf(target: Target): Day[] {
  return (told?.days ?? []).flatMap(([date, states]) => {
    const state = states[target.index];
    return state ? [{ date, known: state[0], passes: state[1] }] : [];
  });
}

export type Remedy = Omit<RemedyData, "smallest"> & { smallest: Cell };

export const remedies: Remedy[] = (told?.remedies ?? []).map((one) => ({ ...one, smallest: cellAt(...one.smallest) }));

/** Whether a run is known to have been worked on one machine. */
export const alone = (run: string): boolean => Boolean(run) && (told?.alone ?? []).includes(run);
