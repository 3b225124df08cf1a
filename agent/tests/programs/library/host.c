/*
 * Loads the Go library that its argument names when it reads a line, and has it run when it reads another one; with a second argument in a
 * child, for which it waits.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void (*run)(int);

static void *thread(void *unused)
{
	(void)unused;
	run(3);
	return 0;
}

static void await_line(void)
{
	int c;

	while ((c = getchar()) != '\n' && c != EOF)
		;
}

int main(int argc, char **argv)
{
	pthread_t of_run;
	void *library;
	pid_t child;

	printf("{\"event\":\"started\",\"pid\":%d}\n", getpid());
	fflush(stdout);
	await_line();
	if (argc > 2 && (child = fork())) {
		int status = 0;

		waitpid(child, &status, 0);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : 0;
	if (!library || !(run = (void (*)(int))dlsym(library, "Run"))) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	printf("{\"event\":\"loaded\",\"pid\":%d}\n", getpid());
	fflush(stdout);
	await_line();
	if (pthread_create(&of_run, 0, thread, 0) || pthread_join(of_run, 0))
		return 1;
	await_line();
	return 0;
}
