using System.CommandLine;
using System.Text.Json;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;
using Hydragen.Engine;
using Hydragen.Models;

namespace Hydragen.Cli.Commands;

/// <summary>Log-probabilities, and on request logits, of given sequences.</summary>
internal static class ScoreCommand
{
    private const string Details = """
        Input: JSON lines {"ids":[..]} or {"text":".."}; text gets the model's special tokens.
        Output: one JSON line each, in the same order:
          {"ids":[..],"logprobs":[..]}
          The first token, which has none before it, gets null. Lines with common prefixes share their computation.
          --logits numbers the sequences from 0; blank lines do not count.

        Example:
          hydragen score --model DIR --input lines.jsonl --logits logits.safetensors
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("score", "Compute the log-probability of every token of given sequences.", Details);
        var input = new Option<string?>("--input") { Description = "JSON Lines file; standard input when not given." };
        var logitsPath = new Option<string?>("--logits") { Description = "Also write FP32 tensors logits.{sequence} [numTokens, vocabularySize] to this safetensors file." };
        Option<string> sharing = SamplingArguments.MakeSharing();
        command.Options.Add(input);
        command.Options.Add(logitsPath);
        command.Options.Add(sharing);
        var model = new ModelArguments(command, isRequired: true);
        command.Handle(terminal, async (parsed, cancellationToken) =>
        {
            string? path = parsed.GetValue(input), outputPath = parsed.GetValue(logitsPath);
            if (outputPath is not null) InputFile.CheckOutput(outputPath, path);
            if (path is null) terminal.NoteWaitingForInput();
            await using LanguageModel languageModel = await model.LoadAsync(parsed, terminal, cancellationToken);
            IReadOnlyList<int>[] lines = [.. JsonLinesReader.Read(path, terminal.Input).Select(line => ReadLine(line.Value, line.Where, languageModel))];
            if (lines.Length == 0) throw new InputException($"{path ?? "Standard input"} holds no line to score.");
            if (outputPath is not null) CheckLogitsSize(lines, languageModel.Configuration.VocabularySize);
            var options = new GenerationOptions { Sharing = SamplingArguments.ParseSharing(parsed.GetValue(sharing)) };
            ScoredSequence[] scored = await terminal.WithGenerationProgressAsync("Scoring", printsMeanwhile: false, progress => Task.Run(() =>
            {
                var results = new ScoredSequence[lines.Length];
                languageModel.Engine.Score(
                    lines, result => results[result.InputIndex] = result, options with { Progress = progress }, outputPath is not null, cancellationToken);
                return results;
            }, CancellationToken.None));
            if (outputPath is not null) WriteLogits(outputPath, scored, languageModel.Configuration.VocabularySize);
            var output = new JsonLines(terminal.Output);
            foreach (ScoredSequence line in scored)
            {
                output.Write(json =>
                {
                    json.WriteNumbers("ids", line.TokenIds);
                    json.WriteNumbers("logprobs", line.LogProbabilities);
                });
            }
        });
        return command;
    }

    private static void CheckLogitsSize(IReadOnlyList<int>[] lines, int vocabularySize)
    {
        int longest = lines.Max(line => line.Count), most = Array.MaxLength / vocabularySize;
        if (longest > most)
            throw new InputException($"--logits can hold at most {most} tokens a line for a vocabulary of {vocabularySize}; the longest line has {longest}.");
    }

    private static int[] ReadLine(JsonElement line, string where, LanguageModel model)
    {
        bool hasIds = line.TryGetProperty("ids", out JsonElement ids), hasText = line.TryGetProperty("text", out JsonElement text);
        if (hasIds == hasText) throw new InputException($"{where}: give either \"ids\" or \"text\".");
        if (hasText && model.Tokenizer is null) throw new InputException($"{where}: the model has no tokenizer; give \"ids\".");
        int[] tokenIds = hasIds ? JsonLinesReader.ReadIds(ids, where) : model.Tokenizer!.Encode(JsonLinesReader.ReadText(text, where));
        if (tokenIds.Length == 0) throw new InputException($"{where}: there is no token to score.");
        for (int i = 0; i < tokenIds.Length; i++)
        {
            if ((uint)tokenIds[i] >= (uint)model.Configuration.VocabularySize)
                throw new InputException($"{where}: the token id {tokenIds[i]} is outside the vocabulary of {model.Configuration.VocabularySize}.");
        }
        if (tokenIds.Length > model.Configuration.MaxContextLength)
            throw new InputException($"{where}: {tokenIds.Length} tokens exceed the model's context of {model.Configuration.MaxContextLength}.");
        return tokenIds;
    }

    private static void WriteLogits(string path, ScoredSequence[] scored, int vocabularySize) => SafetensorsWriter.Write(
        path, [.. scored.Select((line, i) => SafetensorsEntry.FromSingles($"logits.{i}", [line.TokenIds.Count, vocabularySize], line.Logits!))]);
}
