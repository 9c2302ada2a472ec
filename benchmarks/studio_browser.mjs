// The studio in headless Chromium, as a person uses it, in parts: each prints a line of JSON, {"part": {...}}.
// Usage: node studio_browser.mjs ADDRESS CLASSIFIER SAMPLER FOLDER PART
import { chromium } from "playwright-core";
import { mkdirSync, writeFileSync } from "node:fs";

const [address, classifier, sampler, folder, part] = process.argv.slice(2);
const PHONE = { width: 390, height: 844 }, DESK = { width: 1280, height: 900 };
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: DESK });
page.setDefaultTimeout(60_000);
const errors = [], foreign = [], found = {};
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(String(error)));
page.on("dialog", (dialog) => { errors.push(`a script ran: ${dialog.message()}`); dialog.dismiss(); });
page.on("request", (request) => {
  if (/^(data|blob):/.test(request.url())) return;
  if (!["127.0.0.1", "localhost", "[::1]"].includes(new URL(request.url()).hostname)) foreign.push(request.url());
});

// ------------------------------------------------------------------ hands

const open = async () => {
  for (let i = 0; ; i++) {
    try { await page.goto(address); break; } catch (error) {  // it may not listen yet
      if (i > 240) throw error;
      await page.waitForTimeout(500);
    }
  }
  await page.getByRole("heading", { name: "Lamina studio" }).waitFor();
};
const panel = () => page.getByRole("tabpanel").filter({ visible: true }).first();
const button = (name) => panel().getByRole("button", { name, exact: true }).filter({ visible: true }).first();
const tab = async (name) => {
  await page.getByRole("tab", { name: "Explore", exact: true }).filter({ visible: true }).waitFor();
  await page.waitForTimeout(500);
  const own = page.getByRole("tab", { name, exact: true }).filter({ visible: true });
  if (!await own.count()) await page.locator(".overflow-menu > button").click();  // on a phone the last are in a menu
  await (await own.count() ? own : page.locator(".overflow-dropdown").getByText(name, { exact: true })).first().click();
  await page.waitForTimeout(600);
};
const choose = async (label, value) => {
  const field = panel().getByLabel(label, { exact: true }).first();
  await field.click();
  await page.waitForTimeout(300);
  await field.fill(value);
  await page.waitForTimeout(300);
  await field.press("Enter");
};
const shot = async (name) => {
  await page.evaluate(async () => {  // what is far below is painted once it was seen
    for (let y = 0; y < document.body.scrollHeight; y += innerHeight / 2) {
      scrollTo(0, y);
      await new Promise((done) => setTimeout(done, 120));
    }
    scrollTo(0, 0);
  });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) errors.push(`${name}: ${wide} pixels wider than the window`);
  errors.push(...(await unlabelled()).map((one) => `${name}: no name for ${one}`));
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
};
const both = async (name) => {
  await shot(name);
  await page.setViewportSize(PHONE);
  await page.waitForTimeout(500);
  await shot(`${name}-phone`);
  await page.setViewportSize(DESK);
  await page.waitForTimeout(300);
};
const unlabelled = () => page.evaluate(() => {  // controls that a screen reader has no name for
  const shown = (one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && one.offsetWidth > 1;
  const words = (ids) => (ids || "").split(" ").map((id) => document.getElementById(id)?.innerText || "").join(" ");
  return [...document.querySelectorAll("input,textarea,select,button,iframe,a[href]")].filter((one) => {
    const name = one.getAttribute("aria-label") || words(one.getAttribute("aria-labelledby")) || one.title
      || [...(one.labels || [])].map((label) => label.innerText).join(" ") || one.innerText || one.alt
      || one.querySelector("img")?.alt;
    return shown(one) && one.type !== "hidden" && !(name || "").trim();
  }).map((one) => one.outerHTML.slice(0, 160));
});

// ------------------------------------------------------------------ parts

const parts = {
  async explore() {
    await button("Show its layers").click();
    const frame = page.frameLocator("iframe").first();
    await frame.getByText("LeNet").first().waitFor();
    found.layers = await frame.locator("tr").count();
    await both("explore");
    const field = panel().getByLabel("Architecture", { exact: true });  // by keyboard alone
    await field.focus();
    await page.waitForTimeout(400);
    await page.keyboard.press("Control+A");
    await page.keyboard.type("resnet18", { delay: 60 });
    await page.waitForTimeout(400);
    await page.keyboard.press("Enter");
    for (let i = 0; i < 8; i++) {
      if (await page.evaluate(() => document.activeElement.innerText === "Show its layers")) break;
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await frame.getByText("ResNet-18").first().waitFor();
    found.keyboard = "an architecture is shown";
  },

  async draw() {
    await tab("Try");
    await choose("Run", classifier);
    await panel().getByText("It has: evaluate, predict").waitFor();
    const canvas = page.locator("#pad canvas").first();
    await canvas.waitFor();
    await canvas.scrollIntoViewIfNeeded();
    const box = await canvas.boundingBox();
    const at = (x, y) => [box.x + box.width * x, box.y + box.height * y];
    await page.mouse.move(...at(0.3, 0.25));
    await page.mouse.down();
    for (let i = 0; i <= 5; i++) await page.mouse.move(...at(0.3 + 0.08 * i, 0.25));
    for (let i = 0; i <= 5; i++) await page.mouse.move(...at(0.7 - 0.044 * i, 0.25 + 0.104 * i));
    await page.mouse.up();
    await button("Predict").click();
    const label = panel().locator("[data-testid='label-output-value']").first();
    await label.waitFor();
    found.drawn = (await label.innerText()).trim();
    if (found.drawn !== "7") errors.push(`the seven was taken for ${found.drawn}`);
    await both("predicted");
    await button("What it looked at").click();
    await panel().frameLocator("iframe").first().getByText("Class activation map").first().waitFor();
    await both("looked-at");
  },

  async refused() {
    await tab("Try");
    await choose("Run", classifier);
    await panel().getByText("It has: evaluate, predict").waitFor();
    writeFileSync(`${folder}/none.png`, "no picture");
    const before = errors.length;
    const block = panel().locator(".block").filter({ hasText: "or drop a picture" }).last();
    await block.locator("input[type=file]").last().setInputFiles(`${folder}/none.png`);
    await page.waitForTimeout(1500);
    await button("Predict").click();
    await panel().getByText(/not accepted|none.png/).filter({ visible: true }).first().waitFor();
    errors.splice(before);  // a picture that cannot be shown is an error of the console
    found.picture = "one that is none is refused in a line";
  },

  async sample() {
    await tab("Try");
    await choose("Run", sampler);
    await panel().getByText("generate").first().waitFor();
    const pictures = () => page.evaluate(() =>
      [...document.querySelectorAll(".grid-wrap img")].filter((one) => one.checkVisibility()).map((one) => one.src));
    const changed = async (what, act) => {
      const before = (await pictures()).join();
      await act();
      for (let i = 0; ; i++) {
        const now = await pictures();
        if (now.length && now.join() !== before) break;
        if (i > 300) throw new Error(`${what}: the samples did not change`);
        await page.waitForTimeout(100);
      }
      found[what] = `${(await pictures()).length} samples`;
    };
    await changed("generated", () => button("Generate").click());
    await both("generated");
    const slide = (id, key) => async () => {
      await page.locator(`#${id} input[type=range]`).focus();
      await page.keyboard.press(key);
      await page.keyboard.press("Tab");
    };
    await changed("seed", slide("seed", "PageUp"));
    await changed("walk", slide("walk", "ArrowRight"));
    await both("walked");
  },

  async train() {
    await tab("Train");
    const name = "<script>alert(1)<script>.csv";
    let rows = "a,b,target\n";
    for (let i = 0; i < 300; i++) rows += `${i % 17},${(i * 7) % 11},${i % 17 > 8 ? "yes" : "no"}\n`;
    writeFileSync(`${folder}/${name}`, rows);
    await panel().locator("input[type=file]").first().setInputFiles(`${folder}/${name}`);
    await page.waitForFunction(() => [...document.querySelectorAll("input")].some((one) => /uploads/.test(one.value)));
    await choose("Model (empty: advised from the data)", "mlp");
    await panel().getByLabel("Epochs (0: chosen)").fill("5000");
    await button("Plan").click();
    await panel().getByText("210 train").first().waitFor();
    await panel().getByText("lamina.prepare").first().waitFor();
    await both("planned");
    await button("Train").click();
    const state = page.locator("#state");
    const says = (words) => state.filter({ hasText: words }).waitFor();
    const epochs = async () => Number(((await state.innerText()).match(/(\d+) epochs/) || [])[1] || 0);
    const more = (seen) => page.waitForFunction(
      (old) => Number((document.querySelector("#state").innerText.match(/(\d+) epochs/) || [])[1] || 0) > old, seen);
    await says("in training");
    await more(2);
    await more(await epochs());
    found.curve = `moves, ${await epochs()} epochs`;
    await both("training");
    const before = errors.length;
    await page.reload();  // a browser that leaves finds its training again
    await tab("Train");
    await says("in training");
    const cut = errors.splice(before).filter((one) => !/BodyStreamBuffer was aborted|Connection errored out/.test(one));
    errors.push(...cut);  // what was under way when the page was left ends there
    found.again = "found after leaving";
    await button("Stop").click();
    await says("can be resumed");
    const stopped = await epochs();
    found.stopped = `after ${stopped} epochs`;
    await both("stopped");
    await button("Resume").click();
    await says("in training");
    await more(stopped);
    found.resumed = `goes on, ${await epochs()} epochs`;
    await button("Stop").click();
    await says("can be resumed");
    if (await page.locator("script", { hasText: "alert(1)" }).count()) errors.push("a name became a script");
  },

  async compare() {
    await tab("Compare");
    await button("Compare").click();
    await panel().getByRole("cell", { name: classifier, exact: true }).waitFor();
    await panel().locator(".curves svg").waitFor();
    await both("compare");
    for (const name of [classifier, sampler]) await choose("Runs (none: all)", name);
    await page.keyboard.press("Escape");
    await button("Compare").click();
    await panel().locator("iframe").filter({ visible: true }).first().waitFor();
    found.compared = "two runs";
    await both("compared");
  },

  async claims() {
    await tab("Claims");
    await both("claims");
    await choose("Claim", "adam-first-step");
    await panel().getByRole("button", { name: /^Run it/ }).click();
    await panel().locator("iframe").filter({ visible: true }).first().waitFor();
    found.verdict = (await panel().getByText(/^(holds|fails|undecided)/).first().innerText()).trim();
    await both("claim");
  },

  async safety() {
    const paths = ["/etc/passwd", "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "/proc/self/environ"];
    for (const path of paths) {
      for (const at of ["/gradio_api/file=", "/file=", "/gradio_api/file/"]) {
        const answer = await page.request.get(`${address}${at}${path}`);
        if (/root:|PATH=/.test(await answer.text())) errors.push(`${at}${path} was opened`);
      }
    }
    found.traversals = `${3 * paths.length}, none opened`;
    // what the page would not send: a path in the place of a run, of an upload, of data
    const sent = await page.evaluate(async () => {
      const config = await (await fetch("/config")).json();
      const labelled = (label) => config.components.find((one) => one.props.label === label && one.type !== "label").id;
      const asks = (label, id) => config.dependencies.find((one) => one.inputs.includes(id) && one.outputs.length > 3
        && one.inputs.length > label);
      const file = { path: "/etc/passwd", meta: { _type: "gradio.FileData" } };
      const calls = [
        [asks(5, labelled("or drop a file: texts, rows, a history to forecast")), [null, null, null, "x", file, "", null]],
        [asks(3, labelled("Data: a name, or what you upload")), ["mlp", "/etc/passwd", "", 1]],
        [asks(3, labelled("Data: a name, or what you upload")), ["mlp", "../../etc", "", 1]],
      ];
      const answers = [];
      for (const [one, data] of calls) {
        const session = Math.random().toString(36).slice(2);
        await fetch("/gradio_api/queue/join", {
          method: "POST", headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ data, fn_index: one.id, session_hash: session }),
        });
        const stream = (await fetch(`/gradio_api/queue/data?session_hash=${session}`)).body.getReader();
        let text = "";
        for (let part; !/process_completed/.test(text) && !(part = await stream.read()).done;)
          text += new TextDecoder().decode(part.value);
        answers.push(text);
      }
      return answers;
    });
    for (const text of sent)
      if (/root:/.test(text) || !/process_completed/.test(text)) errors.push(`forged: ${text.slice(-300)}`);
    found.forged = `${sent.length}, refused: ${sent.map((one) => /which data|studio trains on|Path|not allowed/.exec(one)?.[0])}`;
  },
};

await open();
try {
  await parts[part]();
} catch (error) {
  errors.push(String(error).split("\n").slice(0, 4).join(" | "));
  await page.screenshot({ path: `${folder}/failed-${part}.png`, fullPage: true }).catch(() => {});
}
console.log(JSON.stringify({ [part]: { ...found, errors: [...new Set(errors)], foreign } }));
await browser.close();
process.exit(errors.length || foreign.length ? 1 : 0);
