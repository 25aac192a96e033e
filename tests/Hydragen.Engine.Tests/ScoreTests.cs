using Hydragen.Core;

namespace Hydragen.Engine.Tests;

public sealed class ScoreTests : IDisposable
{
    private readonly TinyModel _model = new(maxBatchRows: 48);

    public void Dispose() => _model.Dispose();

    [Fact]
    public void Shared_scoring_equals_scoring_line_by_line()
    {
        var random = new Random(21);
        int[] shared = Prompts.Random(random, 90);
        int[][] lines = [shared, [.. shared, 1], [.. shared, 1, 2, 3], Prompts.Random(random, 1), [.. shared, .. Prompts.Random(random, 70)], shared, [.. shared[..40], 5, 6]];
        ScoredSequence[] together = Score(lines, keepLogits: true);
        for (int i = 0; i < lines.Length; i++)
        {
            ScoredSequence alone = Score([lines[i]], keepLogits: true)[0];
            Assert.Equal(lines[i], together[i].TokenIds);
            Assert.True(float.IsNaN(together[i].LogProbabilities[0]));
            for (int token = 1; token < lines[i].Length; token++) Assert.Equal(alone.LogProbabilities[token], together[i].LogProbabilities[token], 1e-4f);
            Assert.Equal(alone.Logits!.Length, together[i].Logits!.Length);
            for (int k = 0; k < alone.Logits.Length; k++) Assert.Equal(alone.Logits[k], together[i].Logits![k], 1e-3f);
        }
        Assert.Equal(0, _model.Engine.KvBytesInUse);
        _model.Engine.CheckIntegrity();
    }

    [Fact]
    public void Log_probabilities_are_the_log_softmax_of_the_logits()
    {
        int[] line = Prompts.Random(new Random(22), 30);
        ScoredSequence scored = Score([line], keepLogits: true)[0];
        for (int token = 1; token < line.Length; token++)
        {
            double[] row = [.. scored.Logits!.Skip((token - 1) * TinyModel.VocabularySize).Take(TinyModel.VocabularySize).Select(logit => (double)logit)];
            double max = row.Max(), expected = row[line[token]] - max - Math.Log(row.Sum(logit => Math.Exp(logit - max)));
            Assert.Equal(expected, scored.LogProbabilities[token], 1e-5);
        }
    }

    [Fact]
    public void A_line_may_fill_the_whole_context_but_not_more()
    {
        Assert.Equal(512, Score([new int[512]], keepLogits: false)[0].LogProbabilities.Length);
        Assert.Throws<ArgumentException>(() => Score([new int[513]], keepLogits: false));
    }

    [Theory]
    [InlineData(SharingMode.Paged)]
    [InlineData(SharingMode.Copied)]
    public void Modes_agree(SharingMode mode)
    {
        int[] shared = Prompts.Random(new Random(23), 70);
        int[][] lines = [[.. shared, 1, 2], [.. shared, 3]];
        ScoredSequence[] expected = Score(lines, keepLogits: false);
        _model.Engine.Score(lines, line => Assert.Equal(expected[line.InputIndex].LogProbabilities[^1], line.LogProbabilities[^1], 1e-4f), new GenerationOptions { Sharing = mode });
    }

    private ScoredSequence[] Score(int[][] lines, bool keepLogits)
    {
        var results = new ScoredSequence[lines.Length];
        _model.Engine.Score(lines, line => results[line.InputIndex] = line, keepLogits: keepLogits);
        return results;
    }
}
