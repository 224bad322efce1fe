TERMINATE nothing_1;
