/* Libraries that are loaded and not asked for anything. */
int card_nothing(void) { return 0; }
