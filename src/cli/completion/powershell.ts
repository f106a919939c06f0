import type { CompletionFlag, CompletionNode, ScriptWords, Values } from "./completion-tree.ts";

/**
 * The script for PowerShell 5.1 and newer: a table of the commands, and a native completer that looks into it. Files
 * and folders are left to PowerShell, which completes them where a completer has nothing to offer.
 */
export function powershellScript({ program, nodes, settings }: ScriptWords): string {
  return `# powershell completion for ${program}; in $PROFILE: ${program} completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName ${quote(program)} -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $settings = @(${settings.map(quote).join(", ")})
  $table = @{
${nodes.map(tableRow).join("\n")}
  }
${ENGINE}`;
}

function tableRow({ path, commands, flags, arguments: words, isProgram }: CompletionNode): string {
  const subs = commands.map(({ name, summary }) => `${quote(name)} = ${quote(summary)}`).join("; ");
  const args = [...words.map(encode), ...(isProgram ? ["@rest"] : [])].map(quote).join(", ");
  const rows = flags.flatMap(flagRows).join("; ");
  return `    ${quote(path)} = @{ subs = [ordered]@{ ${subs} }; args = @(${args}); flags = [ordered]@{ ${rows} } }`;
}

/** What the value may be, empty for a flag without value, and what the flag is for. */
function flagRows({ name, shorthand, help, values }: CompletionFlag): string[] {
  const row = `@(${quote(values === undefined ? "" : encode(values))}, ${quote(help)})`;
  return [`${quote(`--${name}`)} = ${row}`, ...(shorthand === undefined ? [] : [`${quote(`-${shorthand}`)} = ${row}`])];
}

function encode(values: Values): string {
  return typeof values === "string" ? `@${values}` : values.join("|");
}

/** PowerShell takes the quotation marks of typography for quotation marks, too. */
function quote(text: string): string {
  return `'${text.replaceAll(/['\u2018\u2019\u201a\u201b]/g, "$&$&")}'`;
}

const ENGINE = `  $results = [System.Collections.Generic.List[object]]::new()
  $offer = {
    param($text, $kind, $about)
    if ($text -notlike ([WildcardPattern]::Escape($wordToComplete) + '*')) { return }
    $tip = if ($about) { $about } else { $text }
    $results.Add([System.Management.Automation.CompletionResult]::new($text, $text, $kind, $tip))
  }
  $offerValues = {
    param($values, $before)
    $found = if ($values -eq '@setting') { $settings } elseif ($values -like '@*') { @() } else { $values -split '[|]' }
    foreach ($value in $found) { if ($value) { & $offer "$before$value" 'ParameterValue' '' } }
  }

  $path = ''; $count = 0; $valueOf = ''; $ended = $false
  $elements = $commandAst.CommandElements | Select-Object -Skip 1
  foreach ($element in $elements) {
    if ($element.Extent.EndOffset -gt $cursorPosition) { break }
    if ($element.Extent.EndOffset -eq $cursorPosition -and $wordToComplete -ne '') { break }
    $word = $element.Extent.Text
    $subPath = "$path $word".Trim()
    if ($valueOf) { $valueOf = '' }
    elseif (-not $ended -and $word -eq '--') { $ended = $true }
    elseif (-not $ended -and $word -like '-*') {
      $flag = $table[$path].flags[$word]
      if ($flag -and $flag[0]) { $valueOf = $flag[0] }
    }
    elseif ($count -eq 0 -and -not $ended -and $table.ContainsKey($subPath)) { $path = $subPath }
    elseif ($path -ne '' -or $word -ne 'help') {
      $count++
      if ($table[$path].args -contains '@rest') { $ended = $true }
    }
  }

  $node = $table[$path]
  if ($valueOf) { & $offerValues $valueOf '' }
  elseif (-not $ended -and $wordToComplete -match '^(--[^=]+)=') {
    $flag = $node.flags[$Matches[1]]
    if ($flag) { & $offerValues $flag[0] ($Matches[1] + '=') }
  }
  elseif (-not $ended -and $wordToComplete -like '-*') {
    foreach ($name in $node.flags.Keys) { & $offer $name 'ParameterName' $node.flags[$name][1] }
  }
  else {
    if ($count -eq 0 -and -not $ended) {
      foreach ($name in $node.subs.Keys) { & $offer $name 'Command' $node.subs[$name] }
    }
    if ($count -lt $node.args.Count) { & $offerValues $node.args[$count] '' }
  }
  $results
}
`;
