/** @file ComfyUI's own front end in Chromium, used as a person would: open a file, press Run, look. */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';
import { expect } from 'vitest';

/** Debian's name first. */
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const CHROMIUM = process.env['CHROMIUM'] ?? PLACES.find((place) => existsSync(place));

/** Why there is no browser to test with. */
export const NO_CHROMIUM = CHROMIUM ? undefined : 'Chromium is not installed';

/** Where screenshots are kept. */
export const PICTURES = process.env['FLOWSTEP_SCREENSHOTS'] ?? join(tmpdir(), 'flowstep-browser');

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

/** No tour and no news on a first visit. */
const SETTINGS = {
  'Comfy.TutorialCompleted': true,
  'Comfy.Workflow.ShowMissingNodesWarning': false,
  'Comfy.Workflow.ShowMissingModelsWarning': false,
};

/** A page that works on two busy cores is slow. */
const READY_MS = 90_000;

/** What the tests use of the page's global `app`. */
interface PageApp {
  readonly extensionManager?: {
    readonly setting: { set(id: string, value: unknown): Promise<void> };
  };
  readonly rootGraph: { readonly nodes: readonly PageNode[]; readonly groups: readonly Frame[] };
  readonly api: EventTarget;
  readonly canvas: {
    selectNode(node: PageNode): void;
    readonly ds: { scale: number; offset: [number, number] };
    setDirty(foreground: boolean, background: boolean): void;
  };
  handleFile(file: File): Promise<void>;
  graphToPrompt(): Promise<{ readonly output: unknown }>;
}

interface PageNode {
  readonly id: string | number;
  readonly title: string;
  readonly pos: readonly [number, number];
  readonly size: readonly [number, number];
  readonly imgs?: readonly HTMLImageElement[];
  readonly widgets?: PageWidget[];
  toggleAdvanced(): void;
}

interface PageWidget {
  readonly name: string;
  value: unknown;
  readonly element?: HTMLElement;
  setValue(value: unknown, from: { readonly node: PageNode; readonly canvas: object }): void;
}

/** A box with a title. */
interface Frame {
  readonly title: string;
  readonly pos: readonly [number, number];
  readonly size: readonly [number, number];
}

declare global {
  // A `var` is how a global of the page is declared.
  var app: PageApp;
}

export class FrontEnd implements AsyncDisposable {
  readonly page: Page;
  /** Messages of the page that speak of Flowstep, and what it throws. */
  readonly problems: string[] = [];
  readonly #browser: Browser;

  private constructor(browser: Browser, page: Page) {
    this.#browser = browser;
    this.page = page;
    page.on('console', (message) => {
      if (
        message.type() === 'error' &&
        /flowstep/i.test(`${message.text()} ${message.location().url}`)
      )
        this.problems.push(message.text());
    });
    page.on('pageerror', (error) => {
      if (/flowstep/i.test(error.stack ?? '')) this.problems.push(error.message);
    });
  }

  /** Opens the front end of the ComfyUI at `url`. */
  static async open(url: string): Promise<FrontEnd> {
    await mkdir(PICTURES, { recursive: true });
    await fetch(`${url}/settings`, { method: 'POST', body: JSON.stringify(SETTINGS) });
    const browser = await chromium.launch({ executablePath: CHROMIUM!, args: ARGUMENTS });
    const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
    const frontEnd = new FrontEnd(browser, page);
    await page.goto(url);
    await frontEnd.#isReady();
    return frontEnd;
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await this.#isReady();
  }

  /** ComfyUI's settings, by id. */
  async changeSettings(settings: Readonly<Record<string, unknown>>): Promise<void> {
    await this.page.evaluate(async (all) => {
      for (const [id, value] of Object.entries(all)) {
        await app.extensionManager!.setting.set(id, value);
      }
    }, settings);
  }

  /** Opens a workflow as if it were dropped on the page. */
  async openWorkflow(file: string): Promise<void> {
    const [name, text] = [basename(file), await readFile(file, 'utf8')];
    await this.page.evaluate(
      ([n, t]) => app.handleFile(new File([t!], n!, { type: 'application/json' })),
      [name, text],
    );
    await this.page.waitForFunction(() => app.rootGraph.nodes.length > 0);
    // The tab with its name is the last that a load makes.
    await this.page.getByText(name.replace('.json', ''), { exact: true }).first().waitFor();
  }

  /** What Run would send: the workflow in API form. */
  prompt(): Promise<unknown> {
    return this.page.evaluate(async () => (await app.graphToPrompt()).output);
  }

  /** Titles of nodes that lie over another one, or stick out of their group. Nodes grow when they run. */
  misplaced(): Promise<string[]> {
    return this.page.evaluate(() => {
      const titleHeight = 30;
      const boxOf = ({ pos: [x, y], size: [width, height] }: Frame, above = 0) => ({
        left: x,
        top: y - above,
        right: x + width,
        bottom: y + height,
      });
      const { nodes, groups } = app.rootGraph;
      const boxes = nodes.map((node) => ({ title: node.title, ...boxOf(node, titleHeight) }));
      const frames = groups.map((group) => boxOf(group));
      const wrong = boxes.filter((a, i) => {
        const isOver = boxes.some(
          (b, j) =>
            i !== j && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom,
        );
        const sticksOut = frames.some(
          (f) =>
            a.left >= f.left &&
            a.left < f.right &&
            a.top >= f.top &&
            a.top < f.bottom &&
            (a.right > f.right || a.bottom > f.bottom),
        );
        return isOver || sticksOut;
      });
      return wrong.map(({ title, bottom }) => `${title} down to ${Math.round(bottom)}`);
    });
  }

  /** Sets a widget of the node with this title. */
  async set(title: string, widget: string, value: unknown): Promise<void> {
    await this.page.evaluate(
      ([t, w, v]) => {
        const node = app.rootGraph.nodes.find((one) => one.title === t);
        node!.widgets!.find((one) => one.name === w)!.value = v;
      },
      [title, widget, value] as const,
    );
  }

  /** Chooses a value as a click on the canvas does: the widget tells its node. */
  async choose(title: string, widget: string, value: unknown): Promise<void> {
    await this.page.evaluate(
      ([t, w, v]) => {
        const node = app.rootGraph.nodes.find((one) => one.title === t)!;
        const chosen = node.widgets!.find((one) => one.name === w)!;
        chosen.setValue(v, { node, canvas: app.canvas });
      },
      [title, widget, value] as const,
    );
  }

  /** Selects the node with this title and opens the panel beside the canvas that shows its properties. */
  async openProperties(title: string): Promise<void> {
    await this.page.evaluate(
      (t) => app.canvas.selectNode(app.rootGraph.nodes.find((one) => one.title === t)!),
      title,
    );
    await this.page.getByRole('button', { name: 'Toggle properties panel' }).first().click();
    await this.page.getByTestId('panel-tab-parameters').waitFor();
  }

  async closeProperties(): Promise<void> {
    await this.page.getByRole('button', { name: 'Toggle properties panel' }).first().click();
    await this.page.getByTestId('panel-tab-parameters').waitFor({ state: 'hidden' });
  }

  /** "Show Advanced" or "Hide Advanced" in the menu of the node with this title. */
  async toggleAdvanced(title: string): Promise<void> {
    await this.page.evaluate(
      (t) => app.rootGraph.nodes.find((one) => one.title === t)!.toggleAdvanced(),
      title,
    );
  }

  /** Id of the node with this title. */
  id(title: string): Promise<string> {
    return this.page.evaluate(
      (t) => String(app.rootGraph.nodes.find((one) => one.title === t)!.id),
      title,
    );
  }

  /** Height of the node with this title. */
  height(title: string): Promise<number> {
    return this.page.evaluate(
      (t) => app.rootGraph.nodes.find((one) => one.title === t)!.size[1],
      title,
    );
  }

  /** An event as ComfyUI sends them. */
  async receive(type: string, detail: object): Promise<void> {
    await this.page.evaluate(([t, d]) => app.api.dispatchEvent(new CustomEvent(t, { detail: d })), [
      type,
      detail,
    ] as const);
  }

  /** Moves the view, so that the lower end of the node is in its middle; the chart that is there. */
  async lookAt(title: string, scale = 1): Promise<Panel> {
    await this.page.evaluate(
      ([t, s]) => {
        const { pos, size, widgets } = app.rootGraph.nodes.find((one) => one.title === t)!;
        for (const widget of widgets!) {
          if (widget.name === 'flowstep_live') widget.element!.dataset['title'] = t;
        }
        const { ds } = app.canvas;
        ds.scale = s;
        const [width, height] = [window.innerWidth / s, window.innerHeight / s];
        ds.offset = [width / 2 - pos[0] - size[0] / 2, height * 0.6 - pos[1] - size[1]];
        app.canvas.setDirty(true, true);
      },
      [title, scale] as const,
    );
    return new Panel(this.page.locator(`.flowstep-live[data-title="${title}"]`));
  }

  async run(): Promise<void> {
    await this.page.getByTestId('queue-button').click();
  }

  async cancel(): Promise<void> {
    await this.page.getByRole('button', { name: 'Cancel current run' }).click();
  }

  /** Pictures that the node with this title shows. */
  pictureCount(title: string): Promise<number> {
    return this.page.evaluate(
      (t) => app.rootGraph.nodes.find((one) => one.title === t)?.imgs?.length ?? 0,
      title,
    );
  }

  async picture(name: string): Promise<void> {
    await this.page.screenshot({ path: join(PICTURES, `${name}.png`) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }

  /** Ready when the extension has set up, which is after definitions and the first graph have been loaded. */
  async #isReady(): Promise<void> {
    await this.page.waitForFunction(() => globalThis.app?.extensionManager, null, {
      timeout: READY_MS,
    });
    await this.page.getByTestId('queue-button').waitFor({ timeout: READY_MS });
    await this.page.waitForFunction(() => app.rootGraph?.nodes.length > 0, null, {
      timeout: READY_MS,
    });
  }
}

/** The chart of a node. */
export class Panel {
  readonly #root: Locator;

  constructor(root: Locator) {
    this.#root = root;
  }

  /** Waits until a training is shown that has come past this step; the step that is shown then. */
  async past(step: number, timeoutMs: number): Promise<number> {
    const text = this.#root.locator('.flowstep-step');
    const end = Date.now() + timeoutMs;
    for (;;) {
      const shown = (await text.count()) === 1 ? stepOf(await text.innerText()) : undefined;
      if (shown !== undefined && shown > step) return shown;
      if (Date.now() > end) throw new Error(`the chart is at step ${shown}, not past ${step}`);
      await this.#root.page().waitForTimeout(50);
    }
  }

  state(): Promise<string | null> {
    return this.#root.getAttribute('data-state');
  }

  async waitForState(state: string, timeoutMs = 30_000): Promise<void> {
    const shown = this.#root.and(this.#root.page().locator(`[data-state="${state}"]`));
    await shown.waitFor({ timeout: timeoutMs });
  }

  /** What the evaluations of the training have told. */
  evaluation(): Promise<string> {
    return this.#root.locator('.flowstep-evaluation').innerText();
  }

  /** Width in pixels of the screen. */
  async width(): Promise<number> {
    return (await this.#root.boundingBox())?.width ?? 0;
  }

  /** Losses as they are written, and whether all of them are seen. */
  async legend(): Promise<{ readonly values: readonly string[]; readonly isWhole: boolean }> {
    const values = await this.#root.locator('.flowstep-value').allInnerTexts();
    const isWhole = await this.#root
      .locator('.flowstep-legend')
      .evaluate((legend) => legend.scrollWidth <= legend.clientWidth);
    return { values, isWhole };
  }

  /** The drawn curves. */
  pixels(): Promise<string> {
    return this.#root
      .locator('canvas')
      .evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());
  }

  /** Height of the drawn curves in pixels of the screen. */
  async plotHeight(): Promise<number> {
    return (await this.#root.locator('.u-over').boundingBox())?.height ?? 0;
  }

  /** The step that the chart tells when the pointer is at its left end. */
  async firstStep(): Promise<number> {
    const plot = this.#root.locator('.u-over');
    const text = this.#root.locator('.flowstep-state', { hasText: 'at step' });
    let step: number | undefined;
    // A chart that has just begun may have nothing to tell yet, and is drawn anew under a pointer that rests.
    await expect
      .poll(
        async () => {
          await this.#root.page().mouse.move(0, 0);
          const height = (await plot.boundingBox())?.height ?? 2;
          await plot.hover({ position: { x: 1, y: height / 2 }, force: true, timeout: 2000 });
          step = stepOf(await text.innerText({ timeout: 500 }).catch(() => ''));
          return step;
        },
        { timeout: 30_000, interval: 100 },
      )
      .toBeDefined();
    return step!;
  }
}

/** The first number of `step 1,200 / 4,000` and `at step 1,200`. */
function stepOf(text: string): number | undefined {
  const digits = /step ([\d,]+)/.exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits.replaceAll(',', ''));
}
