/* A second thread beside those that call the kernel, for the files of the kernel. */

#ifndef ASSAY_SECOND_H
#define ASSAY_SECOND_H

/* Work that may be done by either of them; it lies still until `taken` has told that it is over. */
typedef struct {
    void (*work)(void *of);
    void *of;
    int state;
} job;

/* Offers the work. The thread may be busy, or missing: then nobody begins it. */
void offer(job *j);

/* Whether the thread has done the work, which is waited for; 0 where it has not begun, and will not any more. */
int taken(job *j);

#endif
