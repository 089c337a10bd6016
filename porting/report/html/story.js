/* What the report tells beside the present state, as objects: what changed since before, days, remedies. Reads DATA; makes no markup. */
"use strict";

const Story = (() => {
  const told = DATA.story;

  /* Kinds in the order of the report: from the most urgent to the best. */
  const changes = (told?.changes ?? []).map(([kind, model, target, was, before, after]) => {
    const cell = Cells.models[model].cells[target];
    return { kind: kind.replaceAll(" ", "-"), cell, was: was && { outcome: was[0], evidence: was[1], stage: was[2] }, before, after };
  });

  const byCell = new Map();
  for (const change of changes) byCell.set(change.cell, [...(byCell.get(change.cell) ?? []), change]);

  const changesOf = (cell) => byCell.get(cell) ?? [];

  /** Changes by kind, in order. */
  function kinds() {
    const groups = new Map();
    for (const change of changes) groups.set(change.kind, [...(groups.get(change.kind) ?? []), change]);
    return [...groups].map(([kind, members]) => ({ kind, members }));
  }

  /** A target day by day: {date, known, passes}, the passes by evidence. */
  function days(target) {
    const found = (told?.days ?? []).map(([date, targets]) => ({ date, state: targets[target.index] }));
    return found.filter(({ state }) => state).map(({ date, state: [known, passes] }) => ({ date, known, passes }));
  }

  const remedies = (told?.remedies ?? []).map((one) => {
    const [model, target] = one.smallest;
    return { ...one, smallest: Cells.models[model].cells[target] };
  });

  /** Whether a run is known to have been worked on one machine. */
  const alone = (run) => Boolean(run) && (told?.alone ?? []).includes(run);

  return { told, changes, changesOf, kinds, days, remedies, alone };
})();
