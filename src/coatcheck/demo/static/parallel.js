"use strict";

// Send many requests at once, each of which adds one hanger to the cart, and count what was kept.

const panel = document.querySelector("#parallel");
const button = document.querySelector("#start");
const result = document.querySelector("#result");
const tickets = [...panel.querySelectorAll("li")];

const hangers = async (path, method) => {
  const response = await fetch(path, { method });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return (await response.json()).hangers;
};

const send = async (ticket) => {
  ticket.dataset.state = "sent";
  const response = await fetch("/parallel/add", { method: "POST" });
  ticket.dataset.state = response.ok ? "answered" : "failed";
};

const show = (kept) => {
  tickets.forEach((ticket, place) => {
    ticket.dataset.state = place < kept ? "kept" : "lost";
  });
  result.textContent = `${kept} of ${tickets.length} kept`;
  result.dataset.state = kept === tickets.length ? "kept" : "lost";
};

button.addEventListener("click", async () => {
  button.disabled = true;
  result.textContent = "";
  delete result.dataset.state;
  try {
    // The first one alone: a browser without a cookie would begin a session with each of them.
    const before = await hangers("/parallel/start", "POST");
    await Promise.all(tickets.map(send));
    show((await hangers("/parallel/count", "GET")) - before);
  } catch (error) {
    result.textContent = `That did not work: ${error.message}`;
  }
  button.disabled = false;
});
