// The studio in headless Chromium, as a person uses it: draw a digit, train on an uploaded CSV, stop, resume, move a
// slider, try a traversal and a <script> name. Usage: node studio_browser.mjs ADDRESS RUN SAMPLER FOLDER
import { chromium } from "playwright-core";
import { mkdirSync, writeFileSync } from "node:fs";

const [address, run, sampler, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(150_000);
const errors = [], foreign = [], results = {};
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(String(error)));
page.on("request", (request) => {
  const host = new URL(request.url()).hostname;
  if (!["127.0.0.1", "localhost", ""].includes(host) && !request.url().startsWith("data:")) foreign.push(request.url());
});
const shot = (name) => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
const tab = (name) => page.getByRole("tab", { name, exact: true }).click();
const panel = () => page.getByRole("tabpanel").filter({ visible: true }).first();
const choose = async (label, value) => {
  const field = panel().getByLabel(label, { exact: true }).first();
  await field.click();
  await field.fill(value);
  await field.press("Enter");
};

for (let i = 0; ; i++) {
  try { await page.goto(address); break; } catch (error) {  // it may not listen yet
    if (i > 240) throw error;
    await page.waitForTimeout(500);
  }
}
await page.getByRole("heading", { name: "Lamina studio" }).waitFor();
await page.getByRole("button", { name: "Show its layers" }).click();
await page.frameLocator("iframe").first().getByText("LeNet").first().waitFor();
await shot("explore");

await tab("Try");
await choose("Run", run);
const canvas = page.locator("#pad canvas").first();
await canvas.waitFor();
await page.locator("#pad").getByRole("button", { name: /brush|draw/i }).first().click().catch(() => {});
const box = await canvas.boundingBox();
const at = (x, y) => [box.x + box.width * x, box.y + box.height * y];
await page.mouse.move(...at(0.3, 0.25));
await page.mouse.down();
for (let i = 0; i <= 20; i++) await page.mouse.move(...at(0.3 + 0.02 * i, 0.25));
for (let i = 0; i <= 20; i++) await page.mouse.move(...at(0.7 - 0.011 * i, 0.25 + 0.026 * i));
await page.mouse.up();
await shot("drawn");
await page.locator("#predict").click();
const label = panel().locator("[data-testid='label-output-value']").first();
await label.waitFor();
results.drawn = (await label.innerText()).trim();
await panel().getByRole("button", { name: "What it looked at" }).click();
await panel().locator("iframe").first().waitFor();
await shot("tried");

await choose("Run", sampler);
await page.locator("#generate").click();
const first = panel().locator("button img, .grid-wrap img").first();
await first.waitFor();
const before = await first.getAttribute("src");
await page.locator("#seed input[type=number]").fill("7");
await page.locator("#seed input[type=number]").press("Enter");
await page.locator("#generate").click();
await page.waitForFunction(
  (old) => [...document.querySelectorAll(".grid-wrap img, button img")].every((one) => one.src !== old), before);
results.slider = "the samples are others";
await shot("generated");

await tab("Train");
let rows = "a,b,target\n";
for (let i = 0; i < 300; i++) rows += `${i % 17},${(i * 7) % 11},${i % 17 > 8 ? "yes" : "no"}\n`;
writeFileSync(`${folder}/<script>alert(1)<script>.csv`, rows);
await panel().locator("input[type=file]").first().setInputFiles(`${folder}/<script>alert(1)<script>.csv`);
await choose("Model (empty: advised from the data)", "mlp");
await panel().getByLabel("Epochs (0: chosen)").fill("5000");
await page.waitForFunction(() => [...document.querySelectorAll("input")].some((one) => /uploads/.test(one.value)));
await panel().getByRole("button", { name: "Train", exact: true }).click();
const state = page.locator("#state");
const says = (words) => state.filter({ hasText: words }).waitFor();
await says("in training");
await page.waitForFunction(() => Number((document.querySelector("#state").innerText.match(/(\d+) epochs/) || [])[1]) > 2);
const seen = Number((await state.innerText()).match(/(\d+) epochs/)[1]);
await page.waitForFunction((old) => Number(document.querySelector("#state").innerText.match(/(\d+) epochs/)[1]) > old, seen);
results.curve = "moves";
await shot("training");
await panel().getByRole("button", { name: "Stop" }).click();
await says("can be resumed");
await panel().getByRole("button", { name: "Resume" }).click();
await says("in training");
results.resumed = "goes on";
await panel().getByRole("button", { name: "Stop" }).click();
await says("can be resumed");

await tab("Compare");
await panel().getByRole("button", { name: "Compare" }).click();
await panel().getByText("lenet5").first().waitFor();
await shot("compare");
await tab("Claims");
await shot("claims");

for (const path of ["/gradio_api/file=/etc/passwd", "/file=../../../../etc/passwd", "/gradio_api/file=/proc/self/environ"]) {
  const answer = await page.request.get(`${address}${path}`);
  if (answer.ok() || /root:/.test(await answer.text())) errors.push(`${path} was opened`);
}
await page.setViewportSize({ width: 390, height: 844 });
for (const name of ["Explore", "Train", "Try"]) {
  await page.reload();
  await page.getByRole("heading", { name: "Lamina studio" }).waitFor();
  const button = page.getByRole("tab", { name, exact: true });
  if (await button.isVisible()) await button.click();
  await page.waitForTimeout(800);
  await shot(`phone-${name.toLowerCase()}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  if (wide > 390) errors.push(`${name}: ${wide} pixels wide on a phone`);
}
results.errors = errors;
results.foreign = foreign;
console.log(JSON.stringify(results, null, 1));
await browser.close();
process.exit(errors.length || foreign.length || results.drawn !== "7" ? 1 : 0);
