/*
 * test/fuzz/replay.c — runs a fuzz target over every file of the directories given as arguments and
 * prints TAP, so that what the fuzzer once found stays found in the ordinary test run.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLAY_MAX_INPUT ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The whole file in memory of exactly its size, so that ASan sees a read past its end. */
static uint8_t *load(const char *path, size_t *out_size)
{
	uint8_t *all = malloc(REPLAY_MAX_INPUT);
	FILE *f = fopen(path, "rb");
	size_t n;
	uint8_t *exact;

	if (f == NULL || all == NULL) {
		perror(path);
		exit(1);
	}
	n = fread(all, 1, REPLAY_MAX_INPUT, f);
	if (ferror(f) != 0 || fclose(f) != 0) {
		perror(path);
		exit(1);
	}
	exact = malloc(n > 0 ? n : 1);
	if (exact == NULL)
		exit(1);
	memcpy(exact, all, n);
	free(all);
	*out_size = n;
	return exact;
}

static unsigned replay_dir(const char *dir, unsigned done)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, NULL, alphasort);

	if (n < 0) {
		perror(dir);
		exit(1);
	}
	for (int i = 0; i < n; i++) {
		char path[4096];
		size_t size;
		uint8_t *data;

		if (names[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
			data = load(path, &size);
			printf("# %s\n", path);
			fflush(stdout); /* before a crash, so that the log names the input */
			LLVMFuzzerTestOneInput(data, size);
			printf("ok %u - %s\n", ++done, names[i]->d_name);
			free(data);
		}
		free(names[i]);
	}
	free(names);
	return done;
}

int main(int argc, char **argv)
{
	unsigned done = 0;

	for (int i = 1; i < argc; i++)
		done = replay_dir(argv[i], done);
	if (done == 0) {
		printf("Bail out! no inputs\n");
		return 1;
	}
	printf("1..%u\n", done);
	return 0;
}
