using System.CommandLine;
using Hydragen.Cli.Input;
using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Models;

namespace Hydragen.Cli.Commands;

/// <summary>Runs the attention operator on tensors from a file.</summary>
internal static class AttentionCommand
{
    public static Command Create()
    {
        var command = new Command("attention",
            "Run the attention operator on the tensors of a safetensors file. Its metadata key 'plan' holds {\"nodes\":[{\"parent\":-1},..],\"sequences\":[{\"node\":k},..]," +
            "\"scale\":?,\"alibi\":?,\"window\":?,\"softcap\":?}; the tensors are node.{n}.key/value [length, numKvHeads, headDim] and " +
            "sequence.{i}.query [queryLength, numHeads, headDim], sequence.{i}.key/value [suffixLength, numKvHeads, headDim]. " +
            "Writes FP32 sequence.{i}.output and sequence.{i}.log_sum_exp [queryLength, numHeads].");
        var input = new Option<string>("--input") { Description = "Safetensors file to read.", Required = true };
        var output = new Option<string>("--output") { Description = "Safetensors file to write.", Required = true };
        Option<string> sharing = SamplingArguments.MakeSharing();
        var kvType = new Option<string>("--kv-type") { Description = "How keys and values are stored.", DefaultValueFactory = _ => ElementType.Float32.ShortName() };
        ElementType[] kvTypes = Enum.GetValues<ElementType>();
        kvType.AcceptOnlyFromAmong([.. kvTypes.Select(type => type.ShortName())]);
        var reference = new Option<bool>("--reference") { Description = "Use the FP64 reference." };
        var threads = new Option<int?>("--threads") { Description = "Threads; one a core when not given." };
        command.Options.Add(input);
        command.Options.Add(output);
        command.Options.Add(sharing);
        command.Options.Add(kvType);
        command.Options.Add(reference);
        command.Options.Add(threads);
        command.Handle((parsed, cancellationToken) =>
        {
            string outputPath = parsed.GetValue(output)!;
            InputFile.CheckOutput(outputPath);
            if (parsed.GetValue(threads) < 1) throw new InputException("--threads must be at least 1.");
            AttentionCase attention = AttentionCase.Read(parsed.GetValue(input)!);
            cancellationToken.ThrowIfCancellationRequested();
            SharedPrefixResult[] results;
            if (parsed.GetValue(reference))
            {
                results = SharedPrefixAttention.ComputeReference(attention.Shape, attention.Options, attention.Nodes, attention.Sequences);
            }
            else
            {
                using var backend = new CpuBackend(new CpuOptions { NumThreads = parsed.GetValue(threads) });
                results = SharedPrefixAttention.Compute(
                    backend, attention.Shape, attention.Options, attention.Nodes, attention.Sequences,
                    SamplingArguments.ParseSharing(parsed.GetValue(sharing)), kvTypes.Single(type => type.ShortName() == parsed.GetValue(kvType)));
            }
            Write(outputPath, attention, results);
            return Task.CompletedTask;
        });
        return command;
    }

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
