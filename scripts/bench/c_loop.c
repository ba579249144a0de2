/* The least that a processor needs for source 1's net: one pass of SGD at batch size 1 over a net
   784-128-10 with sigmoids, biases and the mean squared error, weights row by row. */
#include <math.h>
#include <string.h>

enum { IN = 784, HIDDEN = 128, OUT = 10 };

static float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

void epoch(float *restrict w1, float *restrict b1, float *restrict w2, float *restrict b2,
           const float *restrict x, const float *restrict t, int n, float lr,
           float *restrict losses)
{
    float h[HIDDEN], dh[HIDDEN], p[OUT], dp[OUT];
    for (int s = 0; s < n; s++, x += IN, t += OUT) {
        memcpy(h, b1, sizeof h);
        for (int i = 0; i < IN; i++)
            for (int j = 0; j < HIDDEN; j++) h[j] += x[i] * w1[HIDDEN * i + j];
        for (int j = 0; j < HIDDEN; j++) h[j] = sigmoid(h[j]);
        memcpy(p, b2, sizeof p);
        for (int j = 0; j < HIDDEN; j++)
            for (int k = 0; k < OUT; k++) p[k] += h[j] * w2[OUT * j + k];
        float loss = 0;
        for (int k = 0; k < OUT; k++) {
            p[k] = sigmoid(p[k]);
            loss += (p[k] - t[k]) * (p[k] - t[k]);
            dp[k] = 2.0f / OUT * lr * (p[k] - t[k]) * p[k] * (1 - p[k]);
        }
        losses[s] = loss / OUT;
        for (int j = 0; j < HIDDEN; j++) {
            float d = 0;
            for (int k = 0; k < OUT; k++) {
                d += w2[OUT * j + k] * dp[k];
                w2[OUT * j + k] -= h[j] * dp[k];
            }
            dh[j] = d * h[j] * (1 - h[j]);
        }
        for (int k = 0; k < OUT; k++) b2[k] -= dp[k];
        for (int i = 0; i < IN; i++)
            for (int j = 0; j < HIDDEN; j++) w1[HIDDEN * i + j] -= x[i] * dh[j];
        for (int j = 0; j < HIDDEN; j++) b1[j] -= dh[j];
    }
}
