// Shared objects that are no plugins of this version: FFZERO_WRONG_INTERFACE says which version they claim; without it they have none.
// SPDX-License-Identifier: MIT
extern "C" {
#ifdef FFZERO_WRONG_INTERFACE
int ffzero_plugin_interface() { return FFZERO_WRONG_INTERFACE; }
void ffzero_plugin_register() {}
#else
int ffzero_plugin_other() { return 0; }
#endif
}
