using Hydragen.Cli.Commands;
using Hydragen.Cli.Demo;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Exactness;

/// <summary>
/// What rounding weights, activations, keys and values does to the logits of the embedded model: against FP32 with the weights as they
/// are stored, on fresh documents with questions and their right answers.
/// </summary>
internal static class ModelErrors
{
    private const int NumDocuments = 4, DocumentTokens = 1024, QuestionsPerDocument = 32;

    /// <summary>Prints a row for text and one for answers for each way to load the model.</summary>
    public static async Task WriteAsync(IReadOnlyList<LanguageModelOptions> variants)
    {
        (int[][] inputs, int[] answerStarts, int[] firstPositions) = await MakeInputsAsync();
        float[][] exact = await LogitsAsync(inputs, new LanguageModelOptions());
        int vocabularySize = exact[0].Length / inputs[0].Length;
        Console.WriteLine(
            $"embedded model, {NumDocuments} documents of {DocumentTokens} tokens, {QuestionsPerDocument} questions each; root mean square of the logits {Math.Sqrt(exact.Average(logits => logits.Average(logit => (double)logit * logit))):0.00}");
        Console.WriteLine("| activations | KV | weights | positions | max | mean | KL mean | KL max | same greedy token | where p > ½ |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|---|");
        foreach (LanguageModelOptions options in variants)
        {
            float[][] actual = await LogitsAsync(inputs, options);
            ElementType computeType = options.ComputeType ?? ElementType.Float32;
            Row("text", i => firstPositions[i], i => answerStarts[i] - 1);
            Row("answers", i => answerStarts[i] - 1, i => inputs[i].Length - 1);

            void Row(string name, Func<int, int> begin, Func<int, int> end)
            {
                var errors = new LogitErrors();
                for (int i = 0; i < inputs.Length; i++)
                {
                    for (int position = begin(i); position < end(i); position++)
                    {
                        errors.Add(
                            exact[i].AsSpan(position * vocabularySize, vocabularySize), actual[i].AsSpan(position * vocabularySize, vocabularySize));
                    }
                }
                Console.WriteLine(
                    $"| {computeType.ShortName()} | {(options.KvType ?? computeType).ShortName()} | {options.WeightType.Name()} | {name}, {errors.NumPositions} | {errors.Max:0.000} | {errors.Mean:0.0000} | {errors.MeanDivergence:0.0e+0} | {errors.MaxDivergence:0.0e+0} | {errors.SameGreedy} | {errors.SameSure} of {errors.NumSure} |");
            }
        }
    }

    /// <summary>
    /// Each question with its document before it and its answer behind. The document's own positions count once, with its first question.
    /// </summary>
    private static async Task<(int[][] Inputs, int[] AnswerStarts, int[] FirstPositions)> MakeInputsAsync()
    {
        using LanguageModel model = await LanguageModel.LoadAsync(ModelArguments.EmbeddedModelPath);
        int[] Encode(string text) => [.. model.Tokenizer!.Encode(text, addSpecialTokens: false)];
        var inputs = new List<int[]>();
        var answerStarts = new List<int>();
        var firstPositions = new List<int>();
        for (int seed = 1; seed <= NumDocuments; seed++)
        {
            SyntheticDocument document = new SyntheticDocumentGenerator(Grammar.Default).Generate(
                seed, DocumentTokens, QuestionsPerDocument, text => Encode(text).Length);
            int[] prefix = [.. model.Tokenizer!.Encode(document.Text)];
            foreach (SyntheticQuestion question in document.Questions)
            {
                int[] suffix = Encode(Grammar.Default.PromptSuffix(question.Text));
                firstPositions.Add(question == document.Questions[0] ? 0 : prefix.Length);
                answerStarts.Add(prefix.Length + suffix.Length);
                inputs.Add([.. prefix, .. suffix, .. Encode(question.ExpectedAnswer)]);
            }
        }
        return ([.. inputs], [.. answerStarts], [.. firstPositions]);
    }

    private static async Task<float[][]> LogitsAsync(int[][] inputs, LanguageModelOptions options)
    {
        using LanguageModel model = await LanguageModel.LoadAsync(ModelArguments.EmbeddedModelPath, options);
        var logits = new float[inputs.Length][];
        model.Engine.Score(inputs, scored => logits[scored.InputIndex] = scored.Logits!, new GenerationOptions(), keepLogits: true);
        return logits;
    }
}
