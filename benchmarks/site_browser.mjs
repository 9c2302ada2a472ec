// Pages of the documentation site in headless Chromium: wide and narrow, light and dark. Prints a line of JSON a page.
// Usage: node site_browser.mjs ADDRESS FOLDER PATH...
import { chromium } from "playwright-core";
import { mkdirSync } from "node:fs";

const [address, folder, ...paths] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });

// Text whose contrast with what is behind it is less than WCAG's AA asks for: 4.5, large text 3.
const faint = () => {
  const parsed = (colour) => {
    const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const cache = new Map();
  const rgba = (colour) => cache.get(colour) ?? cache.set(colour, parsed(colour)).get(colour);
  const over = (top, low) => [0, 1, 2].map((k) => top[k] * top[3] + low[k] * (1 - top[3])).concat(1);
  const behind = (node) => {
    const layers = [];
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((low, top) => over(top, low), [255, 255, 255, 1]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => value / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [], seen = new Set();
  for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
    const text = walker.currentNode.textContent.trim(), node = walker.currentNode.parentElement;
    if (!text || !node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const box = node.getBoundingClientRect(), style = getComputedStyle(node);
    if (box.width < 2 || box.height < 2 || /^(SCRIPT|STYLE)$/.test(node.tagName) || node.closest(".md-clipboard, [hidden]")) continue;
    const low = behind(node);
    const colour = over(rgba(node.closest("svg") ? (style.fill === "none" ? style.color : style.fill) : style.color), low);
    const [a, b] = [light(colour), light(low)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
    const enough = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const key = `${style.color} ${low}`;
    if (ratio < enough - 0.01 && !seen.has(key)) {
      seen.add(key);
      found.push(`${ratio.toFixed(2)} "${text.slice(0, 30)}" (${node.tagName.toLowerCase()}.${node.className || ""})`);
    }
  }
  return found;
};

let failed = false;
for (const path of paths) {
  const faults = [];
  for (const [width, height] of [[1280, 900], [390, 844]]) for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme });
    const page = await context.newPage();
    const place = `${width} ${colorScheme}`;
    page.on("console", (message) => message.type() === "error" && faults.push(`${place}: ${message.text()}`));
    page.on("pageerror", (error) => faults.push(`${place}: ${error}`));
    page.on("request", (request) => {
      if (!request.url().startsWith(address) && !/^(data|blob):/.test(request.url())) faults.push(`asked ${request.url()}`);
    });
    await page.goto(`${address}/${path}`, { waitUntil: "networkidle" });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) faults.push(`${place}: ${wide} pixels wider than the window`);
    faults.push(...(await page.evaluate(faint)).map((one) => `${place}: contrast ${one}`));
    const name = `${path.replace(/\W+/g, "-").replace(/^-|-$/g, "") || "home"}-${width}-${colorScheme}`;
    await page.screenshot({ path: `${folder}/${name}.png` });
    if (width === 390 || colorScheme === "light")
      await page.screenshot({ path: `${folder}/${name}-whole.png`, fullPage: true });
    await context.close();
  }
  failed ||= faults.length > 0;
  console.log(JSON.stringify({ path: path || "(home)", faults: [...new Set(faults)] }));
}
await browser.close();
process.exit(failed ? 1 : 0);
