#include "launch/suggest.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 63 };

static int least(int a, int b) { return a < b ? a : b; }

static int lower(char c) { return tolower((unsigned char)c); }

/* Optimal string alignment: rows i - 2, i - 1 and i of the table of distances
 * between the first i letters of a and the first j of b. */
int weft_edit_distance(const char *a, const char *b)
{
    const int na = (int)strnlen(a, LONGEST + 1);
    const int nb = (int)strnlen(b, LONGEST + 1);
    int rows[3][LONGEST + 1];

    if (na > LONGEST || nb > LONGEST) return INT_MAX;
    for (int i = 0; i <= na; i++) {
        int *row = rows[i % 3];
        const int *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            if (i == 0) {
                row[j] = j;
                continue;
            }
            const int differs = lower(a[i - 1]) != lower(b[j - 1]);
            row[j] = least(up[j - 1] + differs, least(up[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                row[j] = least(row[j], up2[j - 2] + 1);
        }
    }
    return rows[na % 3][nb];
}

/* One edit is always a slip; beyond that a third of the word. */
const char *weft_suggest(const char *word, const char *const *known, int n)
{
    const int enough = (int)strnlen(word, LONGEST) / 3;
    const char *best = NULL;
    int nearest = enough > 1 ? enough : 1;

    for (int i = n - 1; i >= 0; i--) {
        const int d = weft_edit_distance(word, known[i]);
        if (d > nearest || d >= (int)strlen(known[i])) continue;
        nearest = d;
        best = known[i];
    }
    return best;
}

const char *weft_suggest_text(const char *word, const char *const *known, int n,
                              char *text, size_t room)
{
    const char *best = weft_suggest(word, known, n);
    size_t used;

    text[0] = '\0';
    if (best != NULL) {
        snprintf(text, room, ", did you mean \"%s\"?", best);
        return text;
    }
    used = (size_t)snprintf(text, room, "; known are ");
    for (int i = 0; i < n && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%s",
                                 i > 0 ? ", " : "", known[i]);
    if (n == 0 || used >= room) text[0] = '\0';
    return text;
}
