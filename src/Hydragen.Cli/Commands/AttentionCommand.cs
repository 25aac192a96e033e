using System.CommandLine;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Models;

namespace Hydragen.Cli.Commands;

/// <summary>Runs the attention operator on tensors from a file.</summary>
internal static class AttentionCommand
{
    private const string Details = """
        Input: a safetensors file whose metadata key "plan" holds
          {"nodes":[{"parent":-1},..],"sequences":[{"node":k},..],"scale":s,"alibi":true,"window":w,"softcap":c}
          The last four may be missing; node -1 shares nothing. Its tensors (F32, BF16 or F16) are
          node.{n}.key, node.{n}.value          [length, numKvHeads, headDim]
          sequence.{i}.query                    [queryLength, numHeads, headDim]
          sequence.{i}.key, sequence.{i}.value  [suffixLength, numKvHeads, headDim]
          The last queryLength tokens of a suffix are the queries' own (causal). With an empty suffix the
          queries own no key, and see all shared ones.
        Output: a safetensors file with FP32 tensors
          sequence.{i}.output                   [queryLength, numHeads, headDim]
          sequence.{i}.log_sum_exp              [queryLength, numHeads]
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("attention", "Run the attention operator on the tensors of a safetensors file.", Details);
        var input = new Option<string>("--input") { Description = "Safetensors file to read.", Required = true };
        var output = new Option<string>("--output") { Description = "Safetensors file to write.", Required = true };
        Option<string> sharing = SamplingArguments.MakeSharing();
        Option<string> kvType = MakeType("--kv-type", "How keys and values are stored.", ElementTypes.All), queryType = MakeType("--query-type", "What queries are rounded to.", ElementTypes.Dense);
        Option<string> prefixKvType = DeviceArguments.MakePrefixKvType(), kvScaling = DeviceArguments.MakeKvScaling("all keys and values given");
        Option<string> device = DeviceArguments.MakeDevice();
        var reference = new Option<bool>("--reference") { Description = "Use the FP64 reference." };
        var threads = ModelArguments.MakeThreads();
        command.Options.Add(input);
        command.Options.Add(output);
        command.Options.Add(sharing);
        command.Options.Add(kvType);
        command.Options.Add(prefixKvType);
        command.Options.Add(kvScaling);
        command.Options.Add(queryType);
        command.Options.Add(device);
        command.Options.Add(reference);
        command.Options.Add(threads);
        command.Handle(terminal, (parsed, cancellationToken) =>
        {
            string outputPath = parsed.GetValue(output)!;
            string inputPath = parsed.GetValue(input)!;
            InputFile.CheckOutput(outputPath, inputPath);
            AttentionCase attention = AttentionCase.Read(inputPath);
            cancellationToken.ThrowIfCancellationRequested();
            Write(outputPath, attention, Compute(inputPath, attention));
            return Task.CompletedTask;

            SharedPrefixResult[] Compute(string path, AttentionCase attention)
            {
                try
                {
                    if (parsed.GetValue(reference))
                        return SharedPrefixAttention.ComputeReference(attention.Shape, attention.Options, attention.Nodes, attention.Sequences);
                    using IAttentionBackend backend = DeviceArguments.CreateBackend(parsed.GetValue(device)!, parsed.GetValue(threads));
                    return SharedPrefixAttention.Compute(
                        backend, attention.Shape, attention.Options, attention.Nodes, attention.Sequences,
                        SamplingArguments.ParseSharing(parsed.GetValue(sharing)), ElementTypes.Parse(parsed.GetValue(kvType)!), ElementTypes.Parse(parsed.GetValue(queryType)!),
                        DeviceArguments.ParseKvType(parsed.GetValue(prefixKvType)), DeviceArguments.ParseKvScaling(parsed.GetValue(kvScaling)));
                }
                catch (ArgumentException exception)
                {
                    throw new InputException($"{path}: {exception.Message}", exception);
                }
            }
        });
        return command;
    }

    private static Option<string> MakeType(string name, string description, IReadOnlyList<ElementType> types) =>
        Values.Choice(name, description, ElementType.Float32.ShortName(), [.. types.Select(type => type.ShortName())]);

    private static void Write(string path, AttentionCase attention, SharedPrefixResult[] results)
    {
        var entries = new List<SafetensorsEntry>();
        for (int i = 0; i < results.Length; i++)
        {
            long queryLength = attention.Sequences[i].QueryLength;
            entries.Add(SafetensorsEntry.FromSingles($"sequence.{i}.output", [queryLength, attention.Shape.NumHeads, attention.Shape.HeadDim], results[i].Output));
            entries.Add(SafetensorsEntry.FromSingles($"sequence.{i}.log_sum_exp", [queryLength, attention.Shape.NumHeads], results[i].LogSumExp));
        }
        SafetensorsWriter.Write(path, entries);
    }
}
