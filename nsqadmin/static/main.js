// What makes the pages live. They read and work without any of this.

import { charts } from "./chart.js";
import { copyButtons } from "./copy.js";
import { counter } from "./counter.js";
import { dialogs } from "./dialog.js";
import { keys } from "./keys.js";
import { live } from "./live.js";
import { maps } from "./map.js";
import { themeSwitch } from "./theme.js";
import { times } from "./times.js";

document.documentElement.classList.add("js");
times();
const refresh = live();
const tools = document.querySelector("[data-tools]");
themeSwitch(tools);
keys(tools);
dialogs(refresh);
copyButtons();
charts();
counter();
maps();
