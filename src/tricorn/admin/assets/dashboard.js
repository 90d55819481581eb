"use strict";
// What a server tells becomes text on a page. Paths, clients and log lines come from strangers: whatever is shown is
// set as textContent, and there is no place here that makes HTML of text.
(() => {
  const STREAM = "/dashboard/stream", KEPT = 900, LONG = 5, AGAIN = [1, 2, 5, 10];
  const CLASSES = [["2xx", "--s2"], ["3xx", "--s3"], ["1xx", "--s1"], ["4xx", "--s4"], ["5xx", "--s5"], ["none", "--none"]];
  const MEANINGS = { none: "broken off", all: "not told apart" };
  const PARTS = [["tricorn_request_duration_seconds", "all of it"], ["tricorn_request_waiting_seconds", "waiting for a thread or task"],
    ["tricorn_request_application_seconds", "in the application"]];
  const needsToken = document.documentElement.dataset.needsToken === "true";
  const at = (id) => document.getElementById(id);

  // -- words and figures ------------------------------------------------------------------------------------------

  const number = (value) => value == null ? "–" : value >= 100 ? Math.round(value).toLocaleString("en") : value >= 10 ? value.toFixed(1)
    : value > 0 ? value.toFixed(2) : "0";
  const count = (value) => value == null ? "–" : value.toLocaleString("en");
  const share = (value) => value == null ? "–" : `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;
  const bytes = (value) => {
    if (value == null) return "–";
    let power = 0;
    while (value >= 1024 && power < 4) { value /= 1024; power += 1; }
    return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
  };
  const duration = (value) => {
    if (value == null) return "–";
    if (!value) return "0";
    if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
    if (value < 1) return `${value < 0.01 ? (value * 1e3).toFixed(1) : Math.round(value * 1e3)} ms`;
    if (value < 60) return `${value.toFixed(1)} s`;
    const minutes = Math.floor(value / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
    return days ? `${days} d ${hours % 24} h` : hours ? `${hours} h ${minutes % 60} min` : `${minutes} min ${Math.floor(value % 60)} s`;
  };
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
  const day = (seconds) => new Date(seconds * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const dayless = (seconds) => new Date(seconds * 1000).toDateString() === new Date().toDateString() ? clock(seconds) : day(seconds);

  // -- pieces of the page -----------------------------------------------------------------------------------------

  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const make = (name, className = "", text = "") => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };

  // Rows stay what they are while they show the same thing, and are moved only where the order is another one: so the
  // focus stays on a button, and a selected text selected.
  const fill = (body, items, keyOf, build, update, empty = "") => {
    const known = body.rows_ ??= new Map(), seen = new Map();
    for (const item of items) {
      let key = keyOf(item);
      while (seen.has(key)) key += "+";
      const row = known.get(key) ?? build(item);
      seen.set(key, row);
      update(row, item);
    }
    for (const child of [...body.children]) if (![...seen.values()].includes(child)) child.remove();
    let place = body.firstChild;
    for (const row of seen.values()) {
      if (row === place) place = place.nextSibling;
      else body.insertBefore(row, place);
    }
    body.rows_ = seen;
    if (!seen.size && empty) {
      const row = make("tr"), cell = make("td", "quiet", empty);
      cell.colSpan = 20;
      row.append(cell);
      body.append(row);
    }
  };
  const rowOf = (classes, head = -1) => {
    const row = make("tr");
    classes.forEach((each, index) => {
      const cell = make(index === head ? "th" : "td", each);
      if (index === head) cell.scope = "row";
      row.append(cell);
    });
    return row;
  };
  const texts = (row, values) => values.forEach((value, index) => { if (value != null) put(row.cells[index], value); });
  const stackButton = (cell, pid) => {
    const button = make("button", "", "Show");
    button.type = "button";
    button.setAttribute("aria-label", `Show the stacks of worker ${pid}`);
    button.addEventListener("click", () => showStacks(pid));
    cell.append(button);
  };

  // -- the token, which a tab keeps: a cookie would go to every other port of this host, the application's too -------

  const store = {
    kept: "",
    get token() { try { return sessionStorage.getItem("tricorn-token") ?? this.kept; } catch { return this.kept; } },
    set token(value) {
      this.kept = value;
      try { if (value) sessionStorage.setItem("tricorn-token", value); else sessionStorage.removeItem("tricorn-token"); } catch { return; }
    },
  };
  const ask = (path, options = {}) => {
    const headers = { ...options.headers };
    if (needsToken) headers.Authorization = `Bearer ${store.token}`;
    return fetch(path, { ...options, headers, cache: "no-store", credentials: "same-origin" });
  };
  const askForToken = (reason) => {
    store.token = "";
    leave();
    at("main").hidden = at("tools").hidden = true;
    at("login").hidden = false;
    say("link", "no token", "");
    put(at("refused"), reason);
    at("token").focus();
  };
  at("login").addEventListener("submit", (event) => {
    event.preventDefault();
    store.token = at("token").value.trim();
    at("token").value = "";
    put(at("refused"), "");
    connect();
  });
  at("leave").addEventListener("click", () => askForToken(""));

  // -- the stream -------------------------------------------------------------------------------------------------

  let stream = null, attempts = 0, timer = 0;
  const say = (id, text, className) => { const place = at(id); put(place, text); place.className = `badge ${className}`.trim(); };
  const leave = () => {
    clearTimeout(timer);
    stream?.abort();
    stream = null;
  };
  const connect = async () => {
    leave();
    if (document.hidden) return;
    const mine = stream = new AbortController();
    try {
      const answer = await ask(STREAM, { headers: { Accept: "text/event-stream" }, signal: mine.signal });
      if (answer.status === 401) return askForToken("This is not the token of this server.");
      if (!answer.ok) throw new Error((await answer.json()).say);
      at("login").hidden = true;
      at("main").hidden = at("tools").hidden = false;
      at("leave").hidden = !needsToken;
      await read(answer.body.getReader(), mine);
      throw new Error("the server has ended the stream");
    } catch (error) {
      if (stream !== mine) return;
      const wait = AGAIN[Math.min(attempts, AGAIN.length - 1)];
      attempts += 1;
      say("link", `not connected: ${error.message}`, "bad");
      timer = setTimeout(connect, wait * 1000);
    }
  };
  const read = async (reader, mine) => {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done || stream !== mine) return;
      const messages = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = messages.pop();
      for (const message of messages) {
        const data = message.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
        if (data) take(JSON.parse(data));
      }
    }
  };
  // Nobody looks at a page that is hidden: the server need not look either.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) leave();
    else if (!needsToken || store.token) connect();
  });

  // -- what has come ----------------------------------------------------------------------------------------------

  let points = [], events = [], slow = [], now = null, isPaused = false;
  const take = (told) => {
    attempts = 0;
    if (told.is_whole) {
      const first = told.points.length ? told.points[0].at : Infinity;
      points = points.filter((each) => each.at < first).concat(told.points);
      events = told.events;
      slow = told.slow;
    } else {
      const isAnew = now?.status && told.now.status && now.status.pid !== told.now.status.pid;
      points = points.concat(told.points);
      events = (isAnew ? [] : events).concat(told.events);
      // What went on comes again.
      const isNew = (each) => told.slow.every((one) => one.pid !== each.pid || one.number !== each.number);
      slow = (isAnew ? [] : slow.filter(isNew)).concat(told.slow);
      announce(told.events);
    }
    points = points.slice(-KEPT);
    events = events.slice(-100);
    slow = slow.slice(-50);
    now = told.now;
    if (!isPaused) show();
  };
  // Of what happens only warnings and errors are spoken: figures that change every two seconds would never stop.
  const announce = (news) => {
    const bad = news.filter((each) => each.level !== "info" && each.level !== "debug");
    if (bad.length) put(at("said"), bad.length > 1 ? `${bad.length} new warnings; the last: ${bad.at(-1).text}` : `${bad[0].level}: ${bad[0].text}`);
  };
  at("pause").addEventListener("click", () => {
    isPaused = !isPaused;
    at("pause").setAttribute("aria-pressed", String(isPaused));
    if (now) show();
  });
  at("span").addEventListener("change", () => now && draw());
  at("level").addEventListener("change", () => now && showEvents());

  const show = () => {
    say("link", isPaused ? "paused" : now.trouble ? "no answer" : "live", now.trouble ? "bad" : isPaused ? "" : "good");
    const trouble = at("trouble");
    trouble.hidden = !now.trouble;
    put(trouble, now.trouble ? `The master does not answer: ${now.trouble}. Figures are those of before.` : "");
    showEvents();
    if (now.trouble) return;
    showHead();
    showFigures();
    showLatencies();
    showWorkers();
    showRequests();
    showSlowest();
    showSlow();
    showCertificates();
    draw();
  };
  const showHead = () => {
    const status = now.status, name = status.name || status.app || "Tricorn";
    put(at("app"), name);
    document.title = `${name} – Tricorn`;
    const mode = status.mode === "running" ? "serving" : status.mode;
    const parts = [`${mode}, generation ${status.generation}${status.is_on_trial ? " (on trial)" : ""}`, `process ${status.pid}`,
      `Tricorn ${status.tricorn}`, `up ${duration(status.uptime)}`, `listening at ${status.listeners.join(", ")}`];
    if (status.newer) parts.push(`process ${status.newer} takes over`);
    put(at("about"), parts.join(" · "));
  };
  const showFigures = () => {
    const serving = now.workers.filter((each) => !each.is_mold), sum = (key) => serving.reduce((total, each) => total + each[key], 0);
    const workers = now.status.workers, failed = now.shares["5xx"] ?? 0;
    const rows = [["Requests/s", number(now.rate)], ["Workers ready", `${workers.ready} of ${workers.wanted}`, workers.ready < workers.wanted],
      ["Running", count(sum("busy"))], ["Waiting", count(sum("waiting")), sum("waiting") > 0], ["Connections", count(sum("connections"))],
      ["Memory", bytes(now.memory)]];
    if (now.is_counted) {
      const whole = now.latencies[PARTS[0][0]];
      rows.push(["Status 5xx", share(failed), failed > 0], ["p95 of a minute", duration(whole?.p95)], ["Received/s", bytes(now.received)],
        ["Sent/s", bytes(now.sent)], ["Idle connections", count(now.idle)], ["Backlog", count(now.backlog), now.backlog > 0]);
    }
    for (const pool of now.status.pools.filter((each) => each.wanted)) {
      rows.push([`Pool ${pool.name} ready`, `${pool.ready} of ${pool.wanted}`, pool.ready < pool.wanted],
        [`Calls of ${pool.name}`, `${count(pool.running)}, ${count(pool.waiting)} waiting`, pool.waiting > 0]);
    }
    fill(at("figures"), rows, (row) => row[0], ([name]) => {
      const group = make("div");
      group.append(make("dt", "", name), make("dd"));
      return group;
    }, (group, [, value, isBad]) => {
      put(group.lastChild, value);
      group.lastChild.className = isBad ? "bad" : "";
    });
  };
  const showLatencies = () => {
    at("uncounted").hidden = now.is_counted;
    at("h-heat").parentElement.hidden = !now.is_counted;
    fill(at("latencies"), PARTS.filter(([name]) => now.latencies[name]), (part) => part[0], () => rowOf(["", "n", "n", "n"], 0), (row, [name, text]) => {
      const found = now.latencies[name];
      texts(row, [text, duration(found.p50), duration(found.p95), duration(found.p99)]);
    }, "No requests");
  };
  const showWorkers = () => {
    fill(at("workers"), now.workers, (each) => `${each.pid} ${each.generation}`, (each) => {
      const row = rowOf(["n", "", "n wide", "n wide", "n", "n", "n", "n", "n wide", "n wide", ""], 0);
      row.cells[0].className = "";
      for (const index of [4, 5, 6]) {
        const curve = make("canvas");
        curve.setAttribute("aria-hidden", "true");
        row.cells[index].append(make("span"), curve);
      }
      stackButton(row.cells[10], each.pid);
      return row;
    }, (row, each) => {
      const silent = now.silent.find((one) => one.pid === each.pid);
      const remarks = [each.state, each.note && `to be replaced: ${each.note}`, silent && `does not answer: ${silent.why}`];
      const isMold = each.is_mold;
      texts(row, [String(each.pid), remarks.filter(Boolean).join("; "), String(each.generation), duration(each.age), null, null, null,
        isMold ? "" : `${each.busy}/${each.threads}`, isMold ? "" : String(each.waiting), isMold ? "" : String(each.connections)]);
      row.cells[1].className = silent ? "bad" : "";
      put(row.cells[4].firstChild, isMold ? "" : number(each.rate));
      put(row.cells[5].firstChild, share(each.cpu));
      put(row.cells[6].firstChild, each.memory ? bytes(each.memory) : "–");
      row.cells[10].hidden = false;
      row.cells[10].firstChild.hidden = isMold;
      row.pid_ = each.pid;
    }, "There are no workers");
  };
  const requestText = (each) => each.target || each.method ? `${each.method} ${each.target}`.trim()
    : each.phase === "client" ? "(a response that is complete)" : "(not known yet)";
  const showRequests = () => {
    fill(at("requests"), now.requests, (each) => [each.pid, each.client, each.method, each.target, each.id].join(" "), (each) => {
      const row = rowOf(["n", "", "path", "when", "n wide", "wide", ""]);
      stackButton(row.cells[6], each.pid);
      return row;
    }, (row, each) => {
      texts(row, [duration(each.seconds), each.phase, requestText(each), each.client || "–", bytes(each.sent), String(each.pid)]);
      row.cells[0].className = each.seconds >= LONG && each.phase !== "websocket" ? "n bad" : "n";
    }, "Nothing is being served");
    put(at("requests-note"), now.left_out ? `and ${now.left_out} more` : "");
  };
  const showSlowest = () => {
    fill(at("slowest"), now.slowest, (each) => `${each.method} ${each.target}`, () => rowOf(["n", "", "path", "when", "wide", "n"]), (row, each) =>
      texts(row, [duration(each.seconds), each.phase, requestText(each), each.client || "–", String(each.pid), dayless(each.seen)]), "None yet");
    put(at("slowest-note"), "One row for each path. The server is looked at every two seconds while somebody watches: what is faster shows among the durations above.");
  };
  const SLOW = { server: "the server", application: "the application", client: "the client" };
  const PARTS_OF_SLOW = ["waiting", "application", "client_sends", "client_reads"], OWNERS = ["server", "application", "client", "client"];
  const showSlow = () => {
    // A request that goes on stays in its row: whoever reads in it goes on reading.
    fill(at("slow"), [...slow].reverse(), (each) => `${each.pid} ${each.number}`, () => {
      const row = rowOf(["when", "n", "", "path", "", "n", "n", "n", "n", "n wide", "wide"]), details = make("details");
      details.append(make("summary"), make("pre"));
      row.cells[3].append(make("span"), details);
      return row;
    }, (row, each) => {
      const [plain, details] = row.cells[3].children;
      for (const place of [plain, details.firstChild]) put(place, `${each.method} ${each.path}`);
      const lines = each.stacks.map((one) => `after ${duration(one.after)} of silence\n${one.stack.trimEnd()}`);
      for (const what of ["route", "id"]) if (each[what]) lines.push(`${what} ${each[what]}`);
      put(details.lastChild, lines.join("\n\n"));
      details.hidden = !(plain.hidden = lines.length > 0);
      const status = each.is_over ? String(each.status ?? "none") : "goes on";
      texts(row, [dayless(each.time), duration(each.seconds), SLOW[each.slow] ?? "–", null, each.has_left ? `${status}, client left` : status,
        ...PARTS_OF_SLOW.map((part) => duration(each[part])), bytes(each.sent), String(each.pid)]);
      PARTS_OF_SLOW.forEach((part, index) => {
        const isBad = OWNERS[index] === each.slow && each[part] >= each.seconds / 4;
        row.cells[5 + index].className = isBad ? "n bad" : "n";
      });
    }, now.is_slow_recorded ? "None yet" : "None is recorded");
    put(at("slow-note"), now.is_slow_recorded ? "A request opens to where it was, if it was looked at. The last 50; tricorn ctl slow has 200."
      : "Set slow_request_time, and each request that takes longer is kept here, with where it was.");
  };
  const showCertificates = () => {
    at("s-certificates").hidden = !now.certificates.length;
    fill(at("certificates"), now.certificates, (each) => each.file, () => rowOf(["path", "when", "n", "wide", "wide path"], 0), (row, each) => {
      texts(row, [each.names.join(", "), each.not_after.slice(0, 10), String(Math.floor(each.days_left)), each.issuer, each.file]);
      row.cells[2].className = each.is_expiring ? "n bad" : "n";
    });
  };
  const showEvents = () => {
    const isBad = (each) => each.level !== "info" && each.level !== "debug", only = at("level").value === "bad";
    fill(at("events"), events.filter((each) => !only || isBad(each)).reverse(), (each) => `${each.number} ${each.time}`, (each) => {
      const row = rowOf(["when", isBad(each) ? each.level : "", "path"]);
      texts(row, [dayless(each.time), each.level, each.detail ? "" : each.text]);
      if (each.detail) {
        const details = make("details");
        details.append(make("summary", "", each.text), make("pre", "", each.detail));
        row.cells[2].append(details);
      }
      return row;
    }, () => undefined, "Nothing yet");
  };

  // -- stacks -----------------------------------------------------------------------------------------------------

  let shown = 0;
  const showStacks = async (pid) => {
    shown = pid;
    put(at("h-stacks"), `Stacks of worker ${pid}`);
    put(at("stack"), "Asking the worker …");
    if (!at("stacks").open) at("stacks").showModal();
    let text;
    try {
      const told = await (await ask(`/v1/stacks?pid=${encodeURIComponent(pid)}`)).json();
      text = told.data ? told.data.map(stacksText).join("\n\n") : told.say;
    } catch (error) {
      text = `The server cannot be asked: ${error.message}`;
    }
    if (shown === pid) put(at("stack"), text);
  };
  const stacksText = (worker) => {
    if (!worker.threads) return `It does not answer: ${worker.silent || "its main thread does not come to run Python code"}`;
    const lines = [];
    for (const kind of ["threads", "tasks", "greenlets"])
      for (const each of worker[kind] ?? []) lines.push(`${kind[0].toUpperCase()}${kind.slice(1, -1)} ${each.name}`, each.stack.trimEnd(), "");
    if (!lines.length) lines.push("It runs nothing of the application's");
    if (worker.left_out) lines.push(`and ${worker.left_out} more`);
    return lines.join("\n").trimEnd();
  };
  at("close").addEventListener("click", () => at("stacks").close());
  at("again").addEventListener("click", () => showStacks(shown));

  // -- curves -----------------------------------------------------------------------------------------------------

  const LEFT = 56, BOTTOM = 20;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const begin = (canvas) => {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${getComputedStyle(canvas).fontFamily}`;
    return [pen, width, height];
  };
  // The stretch of time that is shown, its points, and where one of them begins and ends. A point is about the time
  // since the one before; where nobody has looked there is a gap.
  const scale = (width) => {
    const end = points.length ? points.at(-1).at : 0, most = Number(at("span").value);
    // At first there is little to show, and a minute is enough for it.
    const span = [60, 120, 300, 900].find((each) => each <= most && points.length && end - points[0].at <= each) ?? most, start = end - span;
    const shownPoints = points.filter((each) => each.at > start);
    const x = (time) => LEFT + (time - start) / span * (width - LEFT);
    const extent = (index) => {
      const before = index ? shownPoints[index - 1].at : -Infinity, time = shownPoints[index].at;
      const from = Math.max(start, time - before > 6 ? time - 2 : before);
      return [x(from), Math.max(1, x(time) - x(from))];
    };
    return { start, end, span, shownPoints, x, extent };
  };
  const grid = (pen, width, height, labels, times) => {
    pen.strokeStyle = colour("--line");
    pen.fillStyle = colour("--quiet");
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const [y, text] of labels) {
      pen.beginPath();
      pen.moveTo(LEFT, Math.round(y) + 0.5);
      pen.lineTo(width, Math.round(y) + 0.5);
      pen.stroke();
      pen.fillText(text, LEFT - 6, Math.max(7, y));
    }
    pen.textBaseline = "bottom";
    const steps = width > 500 ? 5 : 2;
    for (let step = 0; step <= steps; step += 1) {
      const time = times.end - times.span + times.span * step / steps;
      pen.textAlign = step === steps ? "right" : step ? "center" : "left";
      if (times.end) pen.fillText(clock(time), times.x(time), height);
    }
  };
  const parts = (each) => now.is_counted ? each.shares : { all: 1 };
  const drawRate = () => {
    const [pen, width, height] = begin(at("rate")), times = scale(width), floor = height - BOTTOM;
    const highest = Math.max(1, ...times.shownPoints.map((each) => each.rate ?? 0));
    const unit = 10 ** Math.floor(Math.log10(highest)), top = [1, 2, 5, 10].map((each) => each * unit).find((each) => each >= highest);
    const y = (value) => floor - value / top * (floor - 8);
    const colours = new Map([...CLASSES, ["all", "--s2"]].map(([name, variable]) => [name, colour(variable)]));
    grid(pen, width, height, [0, 0.5, 1].map((each) => [y(top * each), number(top * each)]), times);
    times.shownPoints.forEach((each, index) => {
      const [left, wide] = times.extent(index);
      let below = 0;
      for (const [name, hue] of colours) {
        const value = (each.rate ?? 0) * (parts(each)[name] ?? 0);
        if (!value) continue;
        pen.fillStyle = hue;
        // What there is at all is to be seen: one error among thousands.
        const tall = Math.max(name === "5xx" ? 2 : 0, y(below) - y(below + value));
        pen.fillRect(left, y(below) - tall, wide + 0.3, tall);
        below += value;
      }
    });
    mark(pen, "rate", times, floor);
    const names = new Set(times.shownPoints.flatMap((each) => Object.keys(parts(each))));
    fill(at("legend"), [...colours].filter(([name]) => names.has(name)), ([name]) => name, ([name]) => {
      const item = make("li"), swatch = make("i");
      item.append(swatch, MEANINGS[name] ?? name);
      return item;
    }, (item, [, hue]) => { item.firstChild.style.background = hue; });
  };
  const drawHeat = () => {
    if (!now.is_counted) return;
    const [pen, width, height] = begin(at("heat")), times = scale(width), floor = height - BOTTOM, bounds = now.bounds;
    let low = Infinity, high = -1, most = 0;
    for (const each of times.shownPoints) each.durations.forEach((count, bucket) => {
      if (count <= 0) return;
      low = Math.min(low, bucket); high = Math.max(high, bucket); most = Math.max(most, count);
    });
    if (high < 0) { low = 5; high = 12; }
    low = Math.max(0, low - 1); high = Math.min(bounds.length, high + 1);
    const tall = floor / (high - low + 1), y = (bucket) => floor - (bucket - low) * tall, labels = [];
    const step = Math.max(1, Math.ceil(18 / tall));
    for (let bucket = low; bucket <= high; bucket += step) labels.push([y(bucket), bucket ? duration(bounds[bucket - 1]) : "0"]);
    grid(pen, width, height, labels, times);
    const heat = colour("--heat");
    times.shownPoints.forEach((each, index) => {
      const [left, wide] = times.extent(index);
      each.durations.forEach((count, bucket) => {
        if (count <= 0) return;
        pen.fillStyle = `rgba(${heat}, ${0.12 + 0.88 * Math.log1p(count) / Math.log1p(most)})`;
        pen.fillRect(left, y(bucket) - tall + 0.5, wide + 0.3, tall - 0.5);
      });
    });
    mark(pen, "heat", times, floor);
  };
  const drawWorkers = () => {
    const hue = colour("--accent");
    for (const row of at("workers").children) {
      if (!row.pid_) continue;
      for (const [cell, index] of [[4, 1], [5, 2], [6, 3]]) {
        const canvas = row.cells[cell].lastChild, [pen, width, height] = begin(canvas), times = scale(width);
        const values = times.shownPoints.map((each) => each.workers.find((worker) => worker[0] === row.pid_)?.[index]);
        const top = Math.max(index === 1 ? 1 : index === 2 ? 0.1 : 1, ...values.map((value) => value ?? 0));
        pen.strokeStyle = hue;
        pen.lineWidth = 1.5;
        pen.beginPath();
        let isDown = false;
        values.forEach((value, place) => {
          if (value == null) { isDown = false; return; }
          const x = (times.shownPoints[place].at - times.start) / times.span * (width - 2), y = height - 1 - value / top * (height - 3);
          if (isDown) pen.lineTo(x, y); else pen.moveTo(x, y);
          isDown = true;
        });
        pen.stroke();
      }
    }
  };

  // One can point at a moment, or go to it by the arrow keys; it is read out beside the curve.
  const cursors = { rate: null, heat: null };
  const mark = (pen, id, times, floor) => {
    const chosen = times.shownPoints.findIndex((each) => each.at === cursors[id]), canvas = at(id);
    canvas.setAttribute("aria-valuemax", String(Math.max(0, times.shownPoints.length - 1)));
    if (chosen < 0) {
      cursors[id] = null;
      put(at(`${id}-read`), times.shownPoints.length ? "" : "Nothing yet");
      return;
    }
    const [left, wide] = times.extent(chosen), text = told(id, times.shownPoints[chosen]);
    pen.strokeStyle = colour("--text");
    pen.strokeRect(Math.round(left) + 0.5, 0.5, Math.max(2, wide), floor);
    put(at(`${id}-read`), text);
    canvas.setAttribute("aria-valuenow", String(chosen));
    canvas.setAttribute("aria-valuetext", text);
  };
  const told = (id, each) => {
    if (id === "rate") {
      const shares = Object.entries(each.shares).map(([name, value]) => `${MEANINGS[name] ?? name} ${share(value)}`);
      return [`${clock(each.at)}: ${number(each.rate)} requests a second`, ...shares].join(", ");
    }
    const total = each.durations.reduce((sum, count) => sum + count, 0), bounds = now.bounds;
    const under = (part) => {
      let below = 0;
      const bucket = each.durations.findIndex((count) => (below += count) >= part * total);
      return bucket < bounds.length ? `less than ${duration(bounds[bucket])}` : `more than ${duration(bounds.at(-1))}`;
    };
    return total ? `${clock(each.at)}: ${count(total)} requests; half took ${under(0.5)}, 95 % ${under(0.95)}, all ${under(1)}` : `${clock(each.at)}: no requests`;
  };
  for (const id of ["rate", "heat"]) {
    const canvas = at(id);
    canvas.addEventListener("pointermove", (event) => {
      const times = scale(canvas.clientWidth), x = event.clientX - canvas.getBoundingClientRect().left;
      cursors[id] = times.shownPoints.find((_, index) => { const [left, wide] = times.extent(index); return x >= left && x < left + wide + 0.5; })?.at ?? null;
      if (now) draw();
    });
    canvas.addEventListener("pointerleave", () => { cursors[id] = null; if (now) draw(); });
    canvas.addEventListener("keydown", (event) => {
      const shownPoints = scale(canvas.clientWidth).shownPoints, last = shownPoints.length - 1;
      const place = shownPoints.findIndex((each) => each.at === cursors[id]), current = place < 0 ? last + 1 : place;
      const next = { ArrowLeft: current - 1, ArrowDown: current - 1, ArrowRight: current + 1, ArrowUp: current + 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") cursors[id] = null;
      else if (next == null || last < 0) return;
      else cursors[id] = shownPoints[Math.max(0, Math.min(last, next))].at;
      event.preventDefault();
      if (now) draw();
    });
  }
  const draw = () => { if (now.status) { drawRate(); drawHeat(); drawWorkers(); } };
  new ResizeObserver(() => now && draw()).observe(at("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => now && draw());

  if (needsToken && !store.token) askForToken("");
  else connect();
})();
