/* The page of one target: how it fared over time, its errors, its reasons, its models. */
import { type Target, byReason, onTarget } from "./cells";
import { Errors } from "./errors";
import { Counts, Mark, Reasons, Stack, spoken } from "./parts";
import { cellHref, matrixHref } from "./place";
import { term } from "./query";
import { t } from "./text";
import { History } from "./trends";

export function TargetPage({ target }: { target: Target }) {
  const cells = onTarget(target);
  const terms = [term("on", target.id)];
  const reasons = byReason(cells);
  return <>
    <p class="crumbs"><a href={matrixHref()}>{t("nav.matrix")}</a></p>
    <h1 class="id">{target.id}</h1>
    <p class="lead"><b>{t(`evidence.${target.evidence}`)}</b>: {t(`rests.${target.evidence}`)}</p>
    {target.available ? null : <p class="notice"><Mark cell={{ outcome: "unavailable", evidence: null }} /> {t("target.absent")} {target.reason}</p>}
    <Stack cells={cells} terms={terms} />
    <Counts cells={cells} />
    <div class="charts"><History target={target} /><Errors cells={cells} terms={terms} /></div>
    {reasons.length ? <section><h2>{t("overview.reasons")}</h2><Reasons groups={reasons} terms={terms} limit={20} /></section> : null}
    <section><h2>{t("target.models")}</h2><ul class="models">{cells.map((cell) => (
      <li><a class="plain" href={cellHref(cell)} title={spoken(cell)}><Mark cell={cell} /> <span class="id">{cell.model.id}</span></a></li>
    ))}</ul></section>
  </>;
}
