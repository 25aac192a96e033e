using System.CommandLine;
using System.Text.Json;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;
using Hydragen.Text;

namespace Hydragen.Cli.Commands;

/// <summary>Text to token ids and back, line by line.</summary>
internal static class TokenizeCommand
{
    private const string Details = """
        Input: JSON lines {"text":".."}, with --decode {"ids":[..]}.
        Output: one JSON line each, in the same order: {"ids":[..]}, with --decode {"text":".."}.

        Example:
          echo '{"text":"Hello"}' | hydragen tokenize --tokenizer DIR | hydragen tokenize --tokenizer DIR --decode
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("tokenize", "Convert text to token ids, or with --decode back.", Details);
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
        command.Handle(terminal, (parsed, cancellationToken) =>
        {
            string tokenizerFile = parsed.GetValue(tokenizerPath)!;
            if (string.IsNullOrWhiteSpace(tokenizerFile)) throw new InputException("--tokenizer is empty; give tokenizer.json or the folder that holds it.");
            Tokenizer tokenizer = Tokenizer.Load(tokenizerFile);
            bool isSpecial = parsed.GetValue(special), isDecode = parsed.GetValue(decode);
            string wanted = isDecode ? "ids" : "text";
            string? path = parsed.GetValue(input);
            if (path is null) terminal.NoteWaitingForInput();
            var output = new JsonLines(terminal.Output);
            foreach ((string where, JsonElement line) in JsonLinesReader.Read(path, terminal.Input))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (!line.TryGetProperty(wanted, out JsonElement value)) throw new InputException($"{where}: there is no \"{wanted}\".");
                if (isDecode)
                {
                    int[] ids = JsonLinesReader.ReadIds(value, where);
                    foreach (int id in ids)
                    {
                        if ((uint)id >= (uint)tokenizer.VocabularySize)
                            throw new InputException($"{where}: the token id {id} is outside the vocabulary of {tokenizer.VocabularySize}.");
                    }
                    output.Write(json => json.WriteString("text", tokenizer.Decode(ids, skipSpecialTokens: !isSpecial)));
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
