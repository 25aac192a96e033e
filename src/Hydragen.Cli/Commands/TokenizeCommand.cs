using System.CommandLine;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;
using Hydragen.Text;

namespace Hydragen.Cli.Commands;

/// <summary>Text to token ids and back, line by line.</summary>
internal static class TokenizeCommand
{
    public static Command Create()
    {
        var command = new Command("tokenize",
            "Convert JSON lines {\"text\":\"..\"} to {\"ids\":[..]}, or with --decode back. Reads standard input unless --input is given.");
        var tokenizerPath = new Option<string>("--tokenizer") { Description = "tokenizer.json, or a folder that holds it.", Required = true };
        var input = new Option<string?>("--input") { Description = "JSON Lines file; standard input when not given." };
        var special = new Option<bool>("--special")
        {
            Description = "Encoding: add special tokens as the post-processor says. Decoding: keep special tokens in the text.",
        };
        var decode = new Option<bool>("--decode") { Description = "From ids to text." };
        command.Options.Add(tokenizerPath);
        command.Options.Add(input);
        command.Options.Add(special);
        command.Options.Add(decode);
        command.Handle((parsed, cancellationToken) =>
        {
            Tokenizer tokenizer = Tokenizer.Load(parsed.GetValue(tokenizerPath)!);
            string? path = parsed.GetValue(input);
            bool isSpecial = parsed.GetValue(special), isDecode = parsed.GetValue(decode);
            string wanted = isDecode ? "ids" : "text";
            using var output = new JsonLines();
            foreach ((int lineNumber, var line) in JsonLinesReader.Read(path))
            {
                cancellationToken.ThrowIfCancellationRequested();
                string where = $"{path ?? "standard input"}, line {lineNumber}";
                if (!line.TryGetProperty(wanted, out var value)) throw new InputException($"{where}: there is no \"{wanted}\".");
                if (isDecode)
                {
                    IReadOnlyList<int> ids = JsonLinesReader.ReadIds(value, where);
                    foreach (int id in ids)
                    {
                        if ((uint)id >= (uint)tokenizer.VocabularySize)
                            throw new InputException($"{where}: the token id {id} is outside the vocabulary of {tokenizer.VocabularySize}.");
                    }
                    output.Write(json => json.WriteString("text", tokenizer.Decode([.. ids], skipSpecialTokens: !isSpecial)));
                }
                else
                {
                    int[] ids = tokenizer.Encode(JsonLinesReader.ReadText(value, where), addSpecialTokens: isSpecial);
                    output.Write(json => json.WriteNumbers("ids", ids));
                }
            }
            return Task.CompletedTask;
        });
        return command;
    }
}
