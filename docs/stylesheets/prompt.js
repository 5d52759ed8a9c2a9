// The copy button of a console leaves the prompt out, and what the command wrote.
document.addEventListener("click", (event) => {
  const button = event.target.closest(".md-clipboard, .md-code__button");
  const code = button && button.closest(".highlight, pre")?.querySelector("code");
  if (!code || !/^\$ /m.test(code.innerText)) return;
  const commands = code.innerText.split("\n").filter((line) => line.startsWith("$ "));
  setTimeout(() => navigator.clipboard.writeText(commands.map((line) => line.slice(2)).join("\n")));
});
