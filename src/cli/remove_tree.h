/* cli/remove_tree.h — takes a temporary directory of ours away, with all that is in it. */
#ifndef EV_CLI_REMOVE_TREE_H
#define EV_CLI_REMOVE_TREE_H

/* Does not follow links nor cross file systems; what cannot be removed is left. */
void remove_tree(const char *dir);

#endif
