/* The page of one model: its targets, best first. */
import { type Cell, type Model, byRank } from "./cells";
import { Comparison } from "./comparison";
import { Strip, worst } from "./numbers";
import { Counts, Facts, Labelled, spoken, stopped } from "./parts";
import { cellHref, matrixHref } from "./place";
import { parameters, seconds, t } from "./text";
import type { Result } from "./types";

export function ModelPage({ model, records }: { model: Model; records: (Result | null)[] | undefined }) {
  return <>
    <p class="crumbs"><a href={matrixHref()}>{t("nav.matrix")}</a></p>
    <h1 class="id">{model.id}</h1>
    <Facts pairs={[
      [t("group.family"), model.family],
      [t("group.task"), model.task],
      [t("group.modality"), model.modality],
      [t("group.house"), model.house],
      [t("params"), model.params === null ? null : parameters(model.params)],
    ]} />
    <Counts cells={model.cells} />
    {records ? null : <p class="notice">{t("details.absent")}</p>}
    <table class="list"><thead><tr>
      <th scope="col">{t("outcome")}</th><th scope="col">{t("target")}</th><th scope="col">{t("model.worst")}</th>
      <th scope="col" class="numeric">{t("seconds")}</th><th scope="col">{t("why")}</th>
    </tr></thead><tbody>{[...model.cells].sort(byRank).map((cell) => <Row cell={cell} record={records?.[cell.target.index] ?? null} />)}</tbody></table>
    {records ? <Comparison model={model} records={records} /> : null}
  </>;
}

function Row({ cell, record }: { cell: Cell; record: Result | null }) {
  const link = cellHref(cell);
  return (
    <tr>
      <td><a class="plain" href={link} aria-label={spoken(cell)}><Labelled cell={cell} /></a></td>
      <th scope="row"><a class="id" href={link}>{cell.target.id}</a></th>
      <td class="picture-cell">{record ? <Strip one={worst(record)} small /> : null}</td>
      <td class="numeric">{record?.seconds ? seconds(record.seconds) : null}</td>
      <td class="reason">{cell.outcome !== "pass" && cell.reason ? <><span class="meta">{stopped(cell)}</span> {cell.reason.message}</> : null}</td>
    </tr>
  );
}
