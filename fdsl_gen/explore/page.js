"use strict";
// The page of fdsl-gen explore. Nothing is stored; everything comes from the server of this machine.

const token = new URLSearchParams(location.search).get("token") || "";
const pageId = crypto.randomUUID(); // other pages of this server do not end our drawings
const byId = (id) => document.getElementById(id);

async function ask(path, body, signal) {
  const answer = await fetch(path, {
    method: "POST",
    signal,
    headers: { "content-type": "application/json", "x-token": token },
    body: JSON.stringify(body),
  });
  if (path === "/sheet" && answer.ok) return answer.blob();
  const found = await answer.json();
  if (found.superseded) return null;
  if (!answer.ok) throw new Error(found.error || answer.statusText);
  return found;
}

function tell(text) { byId("told").textContent = text; }

class Panel {
  constructor(element) {
    this.element = element;
    this.id = element.dataset.panel;
    this.turn = 0;
    this.asking = new AbortController();
    element.append(byId("panel").content.cloneNode(true));
    this.form = element.querySelector(".controls");
    this.grid = element.querySelector(".grid");
    this.form.addEventListener("submit", (event) => event.preventDefault());
    const on = (name, action) => {
      element.querySelector(`.${name}`).addEventListener("click", () => action().catch(report));
    };
    on("command", () => this.copy(this.drawn.command, "command"));
    on("yaml", () => this.copy(this.drawn.yaml, "YAML"));
    on("sheet", () => this.download());
    on("reset", () => this.show(this.name));
  }

  async show(name) {
    const turn = ++this.turn;
    const controls = await ask("/controls", { name });
    if (turn !== this.turn) return; // another dataset was chosen meanwhile
    this.name = name;
    this.controls = controls;
    this.form.replaceChildren(...this.controls.map((control) => this.control(control)));
    this.values = Object.fromEntries(this.controls.map((c) => [c.name, c.value]));
    await this.draw();
  }

  control(control) {
    const label = document.createElement("label");
    const title = document.createElement("span");
    title.textContent = control.name;
    const line = document.createElement("div");
    line.className = "line";
    const inputs = this.inputs(control);
    line.append(...inputs);
    const about = document.createElement("small");
    about.textContent = control.about;
    label.append(title, line, about);
    for (const input of inputs) {
      input.name = control.name;
      input.addEventListener("input", () => {
        const value = this.valueOf(control, input);
        if (value === null) return;
        for (const other of inputs) if (other !== input) other.value = value;
        this.values[control.name] = value;
        label.classList.toggle("changed", value !== control.value);
        this.draw().catch(report);
      });
    }
    return label;
  }

  inputs(control) {
    if (control.kind === "bool") {
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = control.value;
      return [box];
    }
    if (control.kind === "choice") {
      const select = document.createElement("select");
      for (const choice of control.choices) select.add(new Option(choice, choice));
      select.value = control.value;
      return [select];
    }
    return ["range", "number"].map((type) => {
      const input = document.createElement("input");
      input.type = type;
      input.min = control.low;
      input.max = control.high;
      input.step = control.kind === "int" ? 1 : "any";
      input.value = control.value;
      if (type === "range") input.tabIndex = 0; else input.setAttribute("aria-label", control.name);
      return input;
    });
  }

  valueOf(control, input) {
    if (control.kind === "bool") return input.checked;
    if (control.kind === "choice") return control.choices.find((c) => String(c) === input.value);
    if (input.value === "" || !Number.isFinite(input.valueAsNumber)) return null;
    return control.kind === "int" ? Math.round(input.valueAsNumber) : input.valueAsNumber;
  }

  asked() {
    const changed = this.controls.filter((c) => this.values[c.name] !== c.value);
    const settings = Object.fromEntries(changed.map((c) => [c.name, this.values[c.name]]));
    return { name: this.name, settings };
  }

  async draw() {
    this.grid.classList.add("waiting");
    const begun = performance.now();
    this.asking.abort(); // what is not on its way yet
    this.asking = new AbortController();
    const turn = ++this.turn; // the others may arrive in another order
    const asked = { ...this.asked(), page: pageId, panel: this.id, turn };
    const drawn = await ask("/grid", asked, this.asking.signal).catch((error) => {
      if (turn !== this.turn) return null;
      this.grid.classList.remove("waiting");
      throw error;
    });
    if (drawn === null || turn !== this.turn) return; // a newer one is on its way
    this.drawn = drawn;
    this.element.querySelector(".shown").textContent = drawn.command;
    this.grid.replaceChildren(...drawn.tiles.map((tile) => this.tile(tile, asked)));
    this.grid.classList.remove("waiting");
    const seconds = ((performance.now() - begun) / 1000).toFixed(2);
    const light = drawn.brightened > 1 ? `, brightened ${drawn.brightened.toFixed(1)} times` : "";
    tell(`${drawn.tiles.length} images in ${seconds} s${light}` +
      (drawn.complete ? "" : "; the rest would take too long"));
  }

  tile(tile, asked) {
    const button = document.createElement("button");
    button.type = "button";
    for (const part of [tile.png, tile.mask]) if (part) button.append(picture(part, tile.key));
    const parameters = Object.entries(tile.parameters).map(([k, v]) => `${k} ${brief(v)}`);
    const text = `${tile.key}: ${parameters.join(", ")}`;
    const shown = this.element.querySelector(".parameters");
    for (const event of ["focus", "mouseenter"]) {
      button.addEventListener(event, () => { shown.textContent = text; });
    }
    button.addEventListener("click", () => this.zoom(asked, tile.key).catch(report));
    return button;
  }

  async zoom(asked, key) {
    const tile = await ask("/image", { ...asked, key });
    const parts = [tile.png, tile.mask].filter(Boolean).map((part) => picture(part, key));
    byId("zoom").querySelector("div").replaceChildren(...parts);
    byId("zoom").querySelector("pre").textContent = JSON.stringify(tile.parameters, null, 1);
    byId("zoom").showModal();
  }

  async copy(text, what) {
    await navigator.clipboard.writeText(text);
    tell(`${what} copied`);
  }

  async download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await ask("/sheet", this.asked()));
    link.download = `${this.name}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

function picture(data, key) {
  const image = new Image();
  image.src = `data:image/png;base64,${data}`;
  image.alt = key;
  return image;
}

function brief(value) {
  if (typeof value === "number") return String(Number(value.toPrecision(4)));
  return typeof value === "string" ? value : JSON.stringify(value);
}

function report(error) { tell(error.message); }

async function start() {
  const [first, second] = [...document.querySelectorAll(".panel")].map((e) => new Panel(e));
  const found = await ask("/start", {});
  const about = Object.fromEntries(found.names);
  const select = byId("name");
  for (const [name] of found.names) select.add(new Option(name, name));
  select.value = found.first;
  const show = async () => {
    byId("about").textContent = about[select.value];
    await first.show(select.value);
    if (byId("two").checked) await second.show(select.value);
  };
  select.addEventListener("change", () => show().catch(report));
  byId("two").addEventListener("change", () => {
    second.element.hidden = !byId("two").checked;
    if (byId("two").checked) second.show(select.value).catch(report);
  });
  await show();
}

start().catch(report);
