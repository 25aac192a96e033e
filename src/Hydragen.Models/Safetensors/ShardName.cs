using System.Buffers;

namespace Hydragen.Models;

/// <summary>
/// Checks the file names in an index: plain names that stay in the model's folder on every system. A symbolic link may lead to
/// the <c>blobs</c> folder of the download cache that the folder belongs to (<c>…/snapshots/revision</c> beside <c>…/blobs</c>),
/// and nowhere else outside.
/// </summary>
internal static class ShardName
{
    private const int MaxLength = 200;
    private static readonly SearchValues<char> Forbidden = SearchValues.Create("/\\:*?\"<>|");
    private static readonly string[] Reserved = ["CON", "PRN", "AUX", "NUL", "COM", "LPT"];

    public static void Check(string indexPath, string folder, string name)
    {
        if (name.Length > MaxLength || name.AsSpan().ContainsAny(Forbidden) || name.Any(char.IsControl) || name.StartsWith('.') ||
            !name.EndsWith(".safetensors", StringComparison.Ordinal) || IsReserved(name))
        {
            string shown = name.Length <= MaxLength ? name : string.Concat(name.AsSpan(0, MaxLength), "…");
            throw new ModelFormatException(indexPath, $"'weight_map' names '{shown}', which is not a plain .safetensors file name in the model's folder");
        }
        CheckLink(indexPath, folder, name);
    }

    private static bool IsReserved(string name)
    {
        string stem = name[..name.IndexOf('.', StringComparison.Ordinal)];
        return Reserved.Contains(stem.TrimEnd("0123456789").ToString(), StringComparer.OrdinalIgnoreCase);
    }

    private static void CheckLink(string indexPath, string folder, string name)
    {
        string home = Path.GetFullPath(folder);
        FileSystemInfo? target;
        try
        {
            target = File.ResolveLinkTarget(Path.Combine(home, name), returnFinalTarget: true);
        }
        catch (FileNotFoundException)
        {
            return;
        }
        catch (IOException e)
        {
            throw new ModelFormatException(indexPath, $"'weight_map' names '{name}', a symbolic link that leads nowhere", e);
        }
        if (target is null) return;
        string? targetFolder = Path.GetDirectoryName(Path.GetFullPath(target.FullName));
        string? parent = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(home));
        bool isCache = parent is not null && Path.GetFileName(parent) == "snapshots" &&
            targetFolder == Path.Combine(Path.GetDirectoryName(parent) ?? "", "blobs");
        if (targetFolder != Path.TrimEndingDirectorySeparator(home) && !isCache)
            throw new ModelFormatException(indexPath, $"'weight_map' names '{name}', a symbolic link that leaves the model's folder");
    }
}
