// What makes the pages live. They read and work without any of this.

import { charts } from "./chart.js";
import { copyButtons } from "./copy.js";
import { dialogs } from "./dialog.js";
import { live } from "./live.js";

document.documentElement.classList.add("js");
const refresh = live();
dialogs(refresh);
copyButtons();
charts();
